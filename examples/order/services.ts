import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'

// Stands for the payment and the shipping services of other companies. They act once for each idempotency key, and answer as
// the first time when it comes again. `GET /` says how often they have acted, and how often they were asked again.
const acted = { charges: 0, refunds: 0, shipments: 0, askedAgain: 0 }
const answers = new Map<string, { readonly id: string }>()
/** The first answer of this one is lost: it acts, and says nothing. */
let silent = process.env['LOST_ANSWER']

async function answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  const what = request.url?.slice(1) ?? ''
  if (request.method !== 'POST') return response.end(JSON.stringify(acted))
  if (what !== 'charges' && what !== 'refunds' && what !== 'shipments') return response.writeHead(404).end()
  const key = request.headers['idempotency-key']
  if (typeof key !== 'string') return response.writeHead(400).end('an Idempotency-Key is missing')
  const { address } = (await json(request)) as { readonly address?: string }
  if (address === 'nowhere') return response.writeHead(422).end('we do not ship there')
  const known = answers.get(key)
  if (known) {
    acted.askedAgain += 1
    return response.end(JSON.stringify(known))
  }
  acted[what] += 1
  const made = { id: `${what}-${acted[what]}` }
  answers.set(key, made)
  if (silent !== what) return response.end(JSON.stringify(made))
  silent = undefined
  return undefined
}

const server = createServer((request, response) => void answer(request, response))

server.listen(Number(process.env['PORT'] ?? 8026), '127.0.0.1', () => {
  const address = server.address()
  console.log(`the services listen on port ${typeof address === 'object' && address ? address.port : '?'}`)
})
