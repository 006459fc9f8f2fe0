import type { ReceiveMessageCommandOutput, SQSClient } from '@aws-sdk/client-sqs'
import type { Receipt, Worker } from '@errand/core'
import { describe, expect, it } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { work as fleetWork } from '../fleet/app/jobs.ts'
import { startWorker } from '../fleet/member.ts'
import { scene as fleetScene } from '../fleet/shared.ts'
import { work } from './jobs.ts'
import { hasSqs, logs, scene } from './scene.ts'
import type { Scene } from './scene.ts'

/** A worker that has asked each lane once whether it has tickets, and has a long poll open. */
async function idleWorker(on: Scene, options?: Parameters<Scene['work']>[0]): Promise<Worker> {
  const polls = (): number => on.faults.requests['ReceiveMessage'] ?? 0
  const before = polls()
  const worker = await on.work(options)
  await until(() => polls() >= before + 8, { what: 'all lanes are listened to' })
  return worker
}

describe.skipIf(!hasSqs)('stopping a worker on SQS', () => {
  it('an idle process with its long polls open exits within two seconds, in order', async () => {
    const on = await fleetScene('sqs')
    const worker = await startWorker(on.env)
    // When a second job has come and gone, the lanes that had none are listened to.
    for (const n of [1, 2])
      await on.errand.result(await on.errand.dispatch(fleetWork, { n, failures: 0, ms: 0 }), {
        timeout: '20s',
      })
    const since = performance.now()
    worker.signal('SIGTERM')
    expect(await worker.exited, worker.output()).toBe(0)
    expect(performance.now() - since).toBeLessThan(scaleLimit(2_000))
    expect(await on.violations()).toBe('')
  })

  it.for(logs)(
    'a ticket that an open poll brings after the stop is handed back at once (%s)',
    async (name, test) => {
      const on = await scene(name, test, { visibility: '60s' })
      const handedBack = (): number => on.faults.requests['ChangeMessageVisibilityBatch'] ?? 0
      const receipts: Receipt<unknown>[] = []
      // On a busy machine the worker may have stopped before the ticket comes: then the next one is stopped.
      while (handedBack() === 0 && receipts.length < 5) {
        const stopping = await idleWorker(on)
        const stopped = stopping.stop()
        receipts.push(await on.errand.dispatch(work, {}, { lane: 'high' }))
        await stopped
      }
      expect(handedBack()).toBe(1)
      await on.work()
      // Neither its visibility, nor its grace of 30 s, has ended by then.
      for (const receipt of receipts) await on.errand.result(receipt, { timeout: scaleLimit(15_000) })
      expect(on.begun()).toEqual(receipts.map(({ id }) => id))
      expect(await on.violations()).toBe('')
    },
  )

  it.for(logs.flatMap((name) => [['its visibility ends', name] as const, ['it is overdue', name] as const]))(
    'a ticket that an aborted poll had taken costs latency, never a job: it runs when %s (%s)',
    async ([when, name], test) => {
      const on = await scene(name, test, { visibility: when === 'it is overdue' ? '60s' : '2s' })
      const client = on.corner.client()
      const lost = loseReceived(client)
      const stopping = await idleWorker(on, { client })
      const receipt = await on.errand.dispatch(work, {})
      await lost.taken
      await stopping.stop()
      lost.connection()
      expect(on.begun()).toEqual([])

      if (when === 'it is overdue') await on.advance(31_000)
      await on.work()
      await on.errand.result(receipt, { timeout: scaleLimit(20_000) })
      expect(on.begun()).toEqual([receipt.id])
      expect(await on.violations()).toBe('')
    },
  )
})

/** Loses what SQS hands out: SQS hides the tickets, and the connection hangs until it is lost. */
function loseReceived(client: SQSClient): { readonly taken: Promise<void>; readonly connection: () => void } {
  const taken = Promise.withResolvers<void>()
  const hanging = Promise.withResolvers<never>()
  hanging.promise.catch(() => {})
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const reply = await next(args)
        if (commandName !== 'ReceiveMessageCommand') return reply
        if (!(reply.output as ReceiveMessageCommandOutput).Messages?.length) return reply
        taken.resolve()
        return hanging.promise
      },
    { step: 'initialize' },
  )
  return { taken: taken.promise, connection: () => hanging.reject(new Error('the connection was lost')) }
}
