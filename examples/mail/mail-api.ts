import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

// Stands for somebody else's API. It refuses a tenant that asks for more than five things at once, and tells each tenant once to
// wait for a second, at its tenth mail. `GET /` says what it has seen.
interface Seen {
  sent: number
  running: number
  mostAtOnce: number
  refused: number
  waitUntil: number | undefined
}

const tenants = new Map<string, Seen>()

async function answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  const tenant = request.url?.slice(1) ?? ''
  if (request.method !== 'POST') return response.end(JSON.stringify(Object.fromEntries(tenants)))
  const seen = tenants.get(tenant) ?? { sent: 0, running: 0, mostAtOnce: 0, refused: 0, waitUntil: undefined }
  tenants.set(tenant, seen)
  if (seen.sent >= 10) seen.waitUntil ??= Date.now() + 1_000
  const mustWait = seen.running >= 5 || Date.now() < (seen.waitUntil ?? 0)
  seen.running += 1
  seen.mostAtOnce = Math.max(seen.mostAtOnce, seen.running)
  if (!mustWait) await sleep(100)
  seen.running -= 1
  seen[mustWait ? 'refused' : 'sent'] += 1
  if (mustWait) response.writeHead(429, { 'retry-after': '1' })
  return response.end()
}

const server = createServer((request, response) => void answer(request, response))

server.listen(Number(process.env['PORT'] ?? 8025), '127.0.0.1', () => {
  const address = server.address()
  console.log(`the mail API listens on port ${typeof address === 'object' && address ? address.port : '?'}`)
})
