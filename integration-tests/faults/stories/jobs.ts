// Jobs that nobody can run, jobs that block others, too many jobs, and workers of two versions.
import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { systemClock } from '@errand/core/ports'
import { readSchema, toServer } from '../../fleet/urls.ts'
import { logFromUrl } from '../../services/logs.ts'
import { onServer } from '../../services/private-postgres.ts'
import { quietLogger, readHistory, scaleLimit, until } from '@errand/testkit'
import { work } from '../../fleet/app/jobs.ts'
import { startsByTicket } from '../../fleet/recovery.ts'
import { pause } from '../../fleet/looks.ts'
import { startMember } from '../../fleet/member.ts'
import { blocking, skipping } from '../../fleet/app/jobs.ts'
import { carrying, grown, novel } from '../../fleet/app/hard-jobs.ts'
import { afterReturnMs } from '../../fleet/limits.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { newName, readTypes } from './common.ts'
import { freshLog } from './fresh-log.ts'

const mib = 1_048_576
const backlog = 20_000

/** Leaves the log as much newer code would. */
async function makeTooNew(log: string): Promise<void> {
  const statement = 'schema_version = 999, oldest_code = 999'
  if (log.startsWith('sqlite:')) {
    const file = new DatabaseSync(log.slice('sqlite:'.length), { timeout: 5_000 })
    file.exec(`update errand_log set ${statement}`)
    file.close()
    return
  }
  await onServer(toServer(log), (client) =>
    client.query(
      `insert into ${readSchema(log)}.migrations (version, name, oldest_code) values (999, 'of the future', 999)`,
    ),
  )
}

/** A job that no worker knows waits for half a minute at a time. An operator need not wait. */
async function hurries(fleet: Fleet, ids: readonly string[]): Promise<boolean> {
  const jobs = await Promise.all(ids.map((id) => fleet.log.get(id)))
  for (const job of jobs) {
    if (job?.state === 'scheduled')
      await fleet.errand.jobs.change(job.id, { at: new Date() }, { by: 'the test' }).catch(() => {})
  }
  return jobs.every((job) => job?.state === 'succeeded')
}

export const jobStories: readonly Story[] = [
  story('oversize payload', async ({ errand }) => {
    for (const size of [2 * mib, 20 * mib]) {
      await expect(errand.dispatch(carrying, { text: 'x'.repeat(size) })).rejects.toMatchObject({
        code: 'E_PAYLOAD_TOO_LARGE',
      })
    }
    const largest = await errand.dispatch(carrying, { text: 'x'.repeat(mib - 100) })
    await errand.result(largest, { timeout: scaleLimit(20_000) })
  }),

  story('unknown job', async (fleet) => {
    const queue = newName('deploy')
    const old = await fleet.start({ env: { QUEUES: queue } })
    const receipts = await fleet.errand.dispatchMany([
      novel.with({}, { queue }),
      grown[2].with({ total: 1 }, { queue }),
    ])
    const ids = receipts.map(({ id }) => id)
    await until(
      async () =>
        (await Promise.all(ids.map((id) => readTypes(fleet, id)))).every((types) =>
          types.includes('snoozed'),
        ),
      { what: 'the old worker gives back what it does not know', withinMs: 20_000, pause },
    )
    const renewed = await fleet.start({ env: { QUEUES: queue, VERSION: '2' } })
    // A broker may give every message to the same one of two consumers: an emulator of SQS did so 270 times.
    old.signal('SIGTERM')
    expect(await old.exited, old.output()).toBe(0)
    await fleet.recovers('a worker that knows them runs them', 30_000, () => hurries(fleet, ids))
    // And the other way round: a job of the old version waits for a worker of that version.
    const left = await fleet.errand.dispatch(grown[1], { n: 1 }, { queue })
    await until(async () => (await readTypes(fleet, left.id)).includes('snoozed'), {
      withinMs: 20_000,
      pause,
    })
    await fleet.start({ env: { QUEUES: queue } })
    renewed.signal('SIGTERM')
    expect(await renewed.exited, renewed.output()).toBe(0)
    await until(() => hurries(fleet, [left.id]), { what: 'the old job runs', withinMs: 30_000, pause })
  }),

  story('head fails for good', async (fleet) => {
    const [blocked, passed] = [newName('key'), newName('key')]
    const dispatch = (job: typeof blocking, key: string) =>
      fleet.errand.dispatchMany([true, false, false].map((fails) => job.with({ key, fails })))
    const [head, ...behind] = await dispatch(blocking, blocked)
    const [skipped, ...after] = await dispatch(skipping, passed)
    for (const receipt of after) await fleet.errand.result(receipt, { timeout: scaleLimit(20_000) })
    const state = async (id: string | undefined) => (await fleet.log.get(id ?? ''))?.state
    await until(async () => (await state(head?.id)) === 'failed', { what: 'the head has failed', pause })
    expect(await state(skipped?.id)).toBe('failed')
    expect(await Promise.all(behind.map(({ id }) => state(id)))).toEqual(['blocked', 'blocked'])
    const sinceMs = performance.now()
    await fleet.errand.jobs.skip(head?.id ?? '', { by: 'the test' })
    await fleet.recovers(
      'those behind it run once it is skipped',
      afterReturnMs,
      async () =>
        (await Promise.all(behind.map(({ id }) => state(id)))).every((each) => each === 'succeeded'),
      sinceMs,
    )
  }),

  story('many relays', async (fleet) => {
    await Promise.all(Array.from({ length: 6 }, () => fleet.start()))
    // All of them become due within one sweep.
    const receipts = await fleet.errand.dispatchMany(
      Array.from({ length: 400 }, (_, n) => work.with({ n, failures: 0, ms: 0 }, { delay: '2s' })),
    )
    await Promise.all(
      receipts.map((receipt) => fleet.errand.result(receipt, { timeout: scaleLimit(60_000) })),
    )
    const began = fleet.ledgerLines().flatMap(({ jobId, mark }) => (mark === 'began' ? [jobId] : []))
    for (const { id } of receipts) {
      expect(began.filter((jobId) => jobId === id)).toEqual([id])
      const types = (await readTypes(fleet, id)).join(' ')
      // On a busy machine a lease may run out, and then a run that has not begun goes back: so it was not done.
      expect(types.replaceAll('started released ', ''), id).toBe('dispatched due started succeeded')
    }
  }),

  story('empty database', async (fleet) => {
    const log = freshLog(fleet)
    const env = { ERRAND_LOG: log, ERRAND_DRIVER: 'database' }
    const workers = await Promise.all(Array.from({ length: 10 }, () => fleet.start({ env })))
    const opened = logFromUrl(log).open({ clock: systemClock, logger: quietLogger })
    expect(new Set((await opened.workers()).map(({ id }) => id))).toEqual(
      new Set(workers.map(({ id }) => id)),
    )
    await opened.close()
    for (const worker of workers) expect(worker.output()).not.toMatch(/"level":(50|"error")/)
  }),

  story('rolling deploy', async (fleet) => {
    const since = await fleet.log.end()
    const added = await Promise.all([1, 2].map(() => fleet.start({ env: { VERSION: '2' } })))
    await fleet.goesOn()
    const [first] = fleet.workers
    first?.signal('SIGTERM')
    expect(await first?.exited, first?.output()).toBe(0)
    await fleet.goesOn()
    await fleet.takesAgain()
    const all = [...added, ...fleet.workers].filter(({ ended }) => ended === undefined)
    const haveRun = async (): Promise<boolean> => {
      const started = (await readHistory(fleet.log, { after: since })).filter(
        ({ type }) => type === 'started',
      )
      return all.every(({ id }) => started.some(({ worker }) => worker === id))
    }
    // More than a part of the workers could run: with few jobs the broker may give them all to the same workers.
    const burst = Array.from({ length: 150 }, (_, n) => work.with({ n, failures: 0, ms: 200 }))
    await fleet.errand.dispatchMany(burst)
    await until(haveRun, { what: 'every worker, old and new, has run jobs', withinMs: 30_000, pause })

    const log = freshLog(fleet)
    const opened = logFromUrl(log).open({ clock: systemClock, logger: quietLogger })
    await opened.migrate()
    await opened.close()
    await makeTooNew(log)
    const refused = startMember('worker', {
      ERRAND_LOG: log,
      LEDGER: fleet.ledger,
    })
    await expect(refused).rejects.toThrow(/ended \([1-9][^]*E_LOG_VERSION[^]*update @errand\/log-/)
  }),

  story('backlog', async (fleet) => {
    const queue = newName('backlog')
    const [first] = await fleet.errand.dispatchMany([work.with({ n: 0, failures: 0, ms: 0 }, { queue })])
    for (let n = 0; n < backlog; n += 500) {
      await fleet.errand.dispatchMany(
        Array.from({ length: 500 }, (_, index) => work.with({ n: n + index, failures: 0, ms: 0 }, { queue })),
      )
    }
    // Nobody serves that queue: its jobs are overdue all the time, and other jobs start as before.
    await fleet.goesOn(50)
    for (let probe = 0; probe < 10; probe += 1) expect(await startsByTicket(fleet)).toBe(true)
    await fleet.start({ env: { QUEUES: queue, CONCURRENCY: '50' } })
    const sinceMs = performance.now()
    await fleet.recovers(
      'a worker that comes begins with the oldest',
      afterReturnMs,
      async () => (await fleet.log.get(first?.id ?? ''))?.finishedAt !== undefined,
      sinceMs,
    )
    await fleet.errand.jobs.cancel({ queue }, { by: 'the test' })
  }),
]
