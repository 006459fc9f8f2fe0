// fauxqs in a process of its own: says its port in its first line, and ends with its standard input, so that it never
// outlives whoever started it, however that one ended. On loopback alone, which fauxqs' own command line is not.
import { buildApp } from 'fauxqs'

const app = buildApp({ logger: false })
const address = await app.listen({ host: '127.0.0.1', port: Number(process.env['FAUXQS_PORT'] ?? 0) })
process.stdout.write(`${new URL(address).port}\n`)
process.stdin.resume()
process.stdin.once('end', () => process.exit(0))
