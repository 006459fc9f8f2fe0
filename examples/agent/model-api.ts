import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import type { Message } from './model.ts'

// Stands for the API of a language model. Each answer is paid for, and every third request fails. `GET /` says how often.
const seen = { requests: 0, paid: 0, failed: 0 }

/** It asks for the weather of two cities and for a sum, one after the other, and then it knows enough. */
const script: readonly Message[] = [
  { role: 'assistant', text: 'I look at Oslo.', call: { tool: 'weather', input: 'Oslo' } },
  { role: 'assistant', text: 'And at Cairo.', call: { tool: 'weather', input: 'Cairo' } },
  { role: 'assistant', text: 'How far apart are they?', call: { tool: 'subtract', input: '31 - 4' } },
]

async function reply(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  if (request.method !== 'POST') return response.end(JSON.stringify(seen))
  seen.requests += 1
  const messages = (await json(request)) as readonly Message[]
  if (seen.requests % 3 === 0) {
    seen.failed += 1
    return response.writeHead(529).end('overloaded')
  }
  seen.paid += 1
  const results = messages.filter(({ role }) => role === 'tool')
  const last: Message = {
    role: 'assistant',
    text: `Cairo is ${results.at(-1)?.text} degrees warmer than Oslo.`,
  }
  return response.end(JSON.stringify(script[results.length] ?? last))
}

const server = createServer((request, response) => void reply(request, response))

server.listen(Number(process.env['PORT'] ?? 8027), '127.0.0.1', () => {
  const address = server.address()
  console.log(`the model listens on port ${typeof address === 'object' && address ? address.port : '?'}`)
})
