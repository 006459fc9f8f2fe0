// What the driver does about requests that fail, by a client of its own: against a server that answers as SQS does.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, inject, it, onTestFinished, vi } from 'vitest'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import { Corner, publish, subscribe, tickets, until } from './sqs.ts'

const url = inject('sqs')

type Answer = (operation: string, request: IncomingMessage, response: ServerResponse) => boolean

/** A server in front of the SQS of this run, which answers some requests itself. */
async function gatekeeper(answer: Answer) {
  const upstream = new URL(new URL(url!).searchParams.get('endpoint')!)
  const server = createServer((request, response) => {
    const operation = String(request.headers['x-amz-target']).split('.')[1] ?? ''
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      if (answer(operation, request, response)) return
      const passOn = async (): Promise<void> => {
        const { host: _, ...headers } = request.headers as Record<string, string>
        const reply = await fetch(upstream, { method: 'POST', headers, body: Buffer.concat(parts) })
        response.writeHead(reply.status, { 'content-type': 'application/x-amz-json-1.0' })
        response.end(Buffer.from(await reply.arrayBuffer()))
      }
      passOn().catch(() => response.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

function refuse(response: ServerResponse, status: number, type: string): true {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' })
  response.end(JSON.stringify({ __type: `com.amazonaws.sqs#${type}`, message: 'not now' }))
  return true
}

describe.skipIf(url === undefined || !url.includes('endpoint='))('a request that fails', () => {
  it('a single 500 on a send after an outage of polls is no failure: sends have tries of their own', async () => {
    await using corner = new Corner(url!)
    let polls = 0
    let sends = 0
    let polling = 500
    const { endpoint } = await gatekeeper((operation, _, response) => {
      if (operation === 'ReceiveMessage' && polling === 500) {
        polls += 1
        return refuse(response, 500, 'InternalError')
      }
      if (operation !== 'SendMessageBatch') return false
      sends += 1
      return sends === 1 ? refuse(response, 500, 'InternalError') : false
    })
    const driver = corner.open({ endpoint })
    // Far more failures than the budget of the SDK has retries for.
    const asking = new AbortController()
    // A test that fails must end as well: nothing else would stop the loops.
    onTestFinished(() => asking.abort())
    const loops = Array.from({ length: 4 }, async (_, n) => {
      const subscription = await subscribe(driver, `media-${n}`)
      while (!asking.signal.aborted) {
        await subscription.next(10, asking.signal).catch(() => [])
        // A call that rejects at once must not block the event loop.
        await setImmediate()
      }
    })
    await until(() => polls > 80, { withinMs: 30_000 })
    const [ticket] = tickets(1, 'other')
    expect(await driver.publish([ticket!])).toEqual({ accepted: [ticket], refused: [] })
    expect(sends).toBe(2)
    polling = 200
    asking.abort()
    await Promise.all(loops)
  })

  it.each([
    [400, 'OverLimit'],
    [400, 'KmsThrottled'],
    [400, 'RequestThrottled'],
    [503, 'ServiceUnavailable'],
  ])('%i %s: is tried again, four times in all', async (status, type) => {
    await using corner = new Corner(url!)
    let failures = 3
    let sends = 0
    const { endpoint } = await gatekeeper((operation, _, response) => {
      if (operation !== 'SendMessageBatch') return false
      sends += 1
      failures -= 1
      return failures >= 0 && refuse(response, status, type)
    })
    const driver = corner.open({ endpoint })
    const all = tickets(1, 'media')
    expect((await driver.publish(all)).accepted).toEqual(all)
    expect(sends).toBe(4)
    failures = 4
    await expect(driver.publish(all)).rejects.toMatchObject({ code: 'E_DRIVER' })
    expect(sends).toBe(8)
  })

  it('a server that answers nothing but 503 is asked over new connections: its name may lead elsewhere', async () => {
    await using corner = new Corner(url!)
    // A connection stays with the server that it has reached, as behind a name that has moved.
    const bad = new Set<unknown>()
    const state = { isMoved: false }
    const { endpoint, server } = await gatekeeper((_, request, response) =>
      bad.has(request.socket) ? refuse(response, 503, 'ServiceUnavailable') : false,
    )
    server.on('connection', (socket) => {
      if (!state.isMoved) bad.add(socket)
    })
    const driver = corner.open({ endpoint })
    await expect(publish(driver, tickets(1, 'media'))).rejects.toMatchObject({ code: 'E_DRIVER' })
    state.isMoved = true
    const all = tickets(1, 'media')
    expect((await driver.publish(all)).accepted).toEqual(all)
  })

  it('credentials that were replaced in their file are read again', async () => {
    await using corner = new Corner(url!)
    const folder = mkdtempSync(join(tmpdir(), 'errand-credentials-'))
    const file = join(folder, 'credentials')
    const write = (key: string): void =>
      writeFileSync(file, `[default]\naws_access_key_id = ${key}\naws_secret_access_key = s3cret\n`)
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', file)
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE'])
      vi.stubEnv(name, undefined)
    onTestFinished(() => {
      vi.unstubAllEnvs()
      rmSync(folder, { recursive: true, force: true })
    })
    const { endpoint } = await gatekeeper((_, { headers: { authorization = '' } }, response) =>
      authorization.includes('EXPIRED') ? refuse(response, 403, 'ExpiredTokenException') : false,
    )
    write('EXPIRED')
    const driver = corner.open({ endpoint, credentials: undefined })
    await expect(publish(driver, tickets(1, 'media'))).rejects.toMatchObject({
      message: expect.stringContaining('check the credentials'),
    })
    write('FRESH')
    // Within the ten seconds in which everything is back.
    const all = tickets(1, 'media')
    await until(() => driver.publish(all).catch(() => undefined), { withinMs: 10_000 })
  })
})

it.skipIf(url === undefined)('what all queues meet reads alike for each of them', async () => {
  await using corner = new Corner(url!)
  const faults = new SqsFaults({ seed: 1, rates: { unavailable: 1 } })
  const driver = corner.open({ client: corner.faulty(faults, { maxAttempts: 1 }) })
  const messages = await Promise.all(
    ['a', 'b', 'c'].map((queue) =>
      subscribe(driver, queue).then(
        () => '',
        (error: unknown) => String(error),
      ),
    ),
  )
  expect(new Set(messages).size).toBe(1)
  expect(messages[0]).toContain('SQS cannot be used: ServiceUnavailable')
})
