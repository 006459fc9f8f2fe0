// What `errand doctor` reports if the broker's tickets do not match the log, and how it repairs that.
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, it } from 'vitest'
import { handle } from '@errand/core'
import type { DoctorReport } from '@errand/core'
import {
  checkHistory,
  describeViolations,
  newTicket,
  readDispatched,
  readHistory,
  until,
} from '@errand/testkit'
import { errandCommand, node } from '../examples/commands.ts'
import { work } from '../fleet/app/jobs.ts'
import { allEnded } from '../fleet/looks.ts'
import { scene } from '../fleet/shared.ts'
import type { SharedScene } from '../fleet/shared.ts'
import { brokerQueue, onBroker } from './broker.ts'

const amqp = inject('amqp')
const cwd = fileURLToPath(new URL('..', import.meta.url))

interface Ward extends SharedScene {
  /** `errand doctor`, as an operator types it. */
  doctor(
    ...words: readonly string[]
  ): Promise<DoctorReport & { readonly code: number; readonly healthy: boolean }>
  /** Empties the broker without Errand. */
  purge(): Promise<void>
  dispatch(count: number, ms?: number): Promise<void>
  /** Workers in this process, one job at a time each; answers how often each job was started. */
  work(count: number): Promise<ReadonlyMap<number, number>>
}

async function ward(): Promise<Ward> {
  const on = await scene('rabbitmq')
  const { prefix } = on
  return {
    ...on,
    async doctor(...words) {
      const { ERRAND_LOG, ERRAND_DRIVER } = on.env
      const env = { ERRAND_LOG, ERRAND_DRIVER, ERRAND_LOG_LEVEL: 'silent' }
      await using ran = node([errandCommand, 'doctor', '--json', ...words], { cwd, env })
      const code = await ran.exitCode
      return { ...(JSON.parse(ran.stdout()) as DoctorReport & { healthy: boolean }), code }
    },
    // Every job here is in the normal lane.
    purge: () =>
      onBroker(amqp!, async (channel) => {
        await channel.purgeQueue(brokerQueue(prefix, 'work', 'normal'))
      }),
    async dispatch(count, ms = 0) {
      const payloads = Array.from({ length: count }, (_, n) => ({ n, failures: 0, ms }))
      await on.errand.dispatchMany(payloads.map((payload) => work.with(payload)))
    },
    async work(count) {
      const starts = new Map<number, number>()
      const handler = handle(work, async ({ n, ms }) => {
        starts.set(n, (starts.get(n) ?? 0) + 1)
        await new Promise((resolve) => {
          setTimeout(resolve, ms)
        })
      })
      for (let index = 0; index < count; index += 1) {
        const worker = on.errand.work({ concurrency: 1, handlers: [handler] }, { signals: false })
        await worker.ready
      }
      return starts
    },
  }
}

const listCodes = ({ findings }: DoctorReport): readonly string[] => findings.map(({ code }) => code)

describe.skipIf(amqp === undefined)('errand doctor, with RabbitMQ', () => {
  it('the broker was emptied: doctor says so, --repair publishes again, and all jobs run by their tickets', async () => {
    const on = await ward()
    await on.dispatch(200)
    await on.purge()
    const found = await on.doctor()
    expect(found).toMatchObject({ code: 1, healthy: false, repairs: [] })
    expect(found.findings).toContainEqual(
      expect.objectContaining({
        severity: 'error',
        code: 'tickets-missing',
        queue: 'work',
        message: expect.stringContaining('200 ready jobs have no ticket'),
      }),
    )
    expect((await on.doctor('--repair')).repairs).toMatchObject([{ queue: 'work', published: 200, left: 0 }])
    const again = await on.doctor('--repair')
    expect(again).toMatchObject({ code: 1, repairs: [] })
    expect(listCodes(again)).toEqual(['queue-unserved'])

    const starts = await on.work(1)
    // Well within the thirty seconds after which the jobs would be taken from the log.
    await allEnded(on.log, 15_000)
    expect([...starts.values()]).toEqual(Array.from({ length: 200 }, () => 1))
    // The worker's next heartbeat says that it takes jobs.
    await until(async () => {
      const { code, healthy, findings } = await on.doctor()
      return code === 0 && healthy && findings.length === 0
    })
  })

  it('the broker is emptied under working workers: --repair twice, and each job runs once', async () => {
    const on = await ward()
    const starts = await on.work(2)
    await on.dispatch(150, 100)
    await until(() => starts.size > 4)
    await on.purge()
    const first = await on.doctor('--repair')
    expect(first.repairs).toMatchObject([{ queue: 'work', left: 0 }])
    await on.doctor('--repair')
    await allEnded(on.log, 25_000)
    expect([...starts.values()]).toEqual(Array.from({ length: 150 }, () => 1))
    // Another test's transaction may be open, and readers of all jobs wait for older transactions.
    const events = await until(async () => {
      const read = await readHistory(on.log)
      return read.filter(({ type }) => type === 'succeeded').length === 150 ? read : undefined
    })
    const history = { events, dispatched: await readDispatched(on.log) }
    expect(describeViolations(checkHistory(history))).toBe('')
  })

  it('forged tickets are found, and named; a worker drops them', async () => {
    const on = await ward()
    await on.dispatch(3)
    await onBroker(amqp!, async (channel) => {
      for (let copy = 0; copy < 7; copy += 1) {
        const forged = Buffer.from(JSON.stringify(newTicket({ queue: 'work' })))
        channel.sendToQueue(brokerQueue(on.prefix, 'work', 'normal'), forged)
      }
    })
    const found = await on.doctor('--repair')
    expect(found.repairs).toEqual([])
    expect(found.findings).toContainEqual(
      expect.objectContaining({
        severity: 'warning',
        code: 'tickets-stale',
        queue: 'work',
        message: expect.stringMatching(/^queue work: at least 5 tickets have no ready job .*forged/),
      }),
    )
    const starts = await on.work(1)
    await allEnded(on.log, 15_000)
    expect(starts.size).toBe(3)
    await until(async () => listCodes(await on.doctor()).length === 0)
  })
})
