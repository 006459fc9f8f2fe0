// fauxqs, a local SQS, in its own process. It prints its port in its first line, and ends with its standard input, so that it
// never outlives the demo. It listens only on loopback, which fauxqs' own command line does not.
import { buildApp } from 'fauxqs'

const app = buildApp({ logger: false })
const address = await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`${new URL(address).port}\n`)
process.stdin.resume()
process.stdin.once('end', () => process.exit(0))
