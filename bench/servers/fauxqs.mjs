// fauxqs in a process of its own: says its port in its first line, and ends with its standard input.
import { buildApp } from 'fauxqs'

const app = buildApp({ logger: false })
const address = await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`${new URL(address).port}\n`)
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
