import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { Cursor, JobLog } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { newJob, quietLogger, until } from '@errand/testkit'
import { canHavePairs, sql, startPair } from './pair.ts'

function open(url: string): JobLog {
  const log = postgres({ url }).open({ logger: quietLogger, clock: systemClock })
  onTestFinished(() => log.close())
  return log
}

/** Stores this many jobs, each in its own transaction. */
async function store(log: JobLog, count: number): Promise<readonly string[]> {
  const jobs = Array.from({ length: count }, () => newJob())
  for (const job of jobs) await log.append([job])
  return jobs.map(({ id }) => id)
}

/** Follows until it has read the events of these jobs. */
async function follow(log: JobLog, after: Cursor | undefined, ids: readonly string[]): Promise<Cursor> {
  const missing = new Set(ids)
  let cursor = after
  await until(async () => {
    const { events, next } = await log.read({ after: cursor, limit: 1_000 })
    for (const { jobId } of events) expect(missing.delete(jobId)).toBe(true)
    cursor = events.at(-1)?.cursor ?? next
    return missing.size === 0
  })
  return cursor!
}

describe.skipIf(!canHavePairs)('who follows the log through a failover', () => {
  it('that lost commits meets an error, though their numbers are given again: never a hole', async () => {
    const pair = await startPair()
    const before = open(pair.primary.url)
    await before.migrate()
    const kept = await store(before, 3)
    const early = await follow(before, undefined, kept)
    await before.sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
    await pair.caughtUp()
    pair.replication.refuse()
    pair.replication.cut()
    const lost = await store(before, 20)
    const cursors = [
      await follow(before, early, lost),
      await before.end(),
      (await before.readHistory(lost[0]!))[0]!.cursor,
    ]
    await pair.primary.kill()
    await pair.standby.promote()

    const after = open(pair.standby.url)
    const given = await store(after, 40)
    for (const cursor of cursors)
      await expect(after.read({ after: cursor, limit: 100 })).rejects.toMatchObject({ code: 'E_CURSOR' })
    // A reader that had not seen the lost events goes on, and misses nothing.
    await follow(after, early, given)
    await follow(after, undefined, [...kept, ...given])
    // The numbers of the lost transactions were really given again.
    const numbers = await sql(pair.standby, 'select max(tx::text::bigint) as tx from errand.job_events')
    expect(Number(numbers[0]?.['tx'])).toBeGreaterThanOrEqual(Number(cursors[0]!.split('.')[1]))
  })

  it.each(['switched in order', 'failed over once the standby had everything'])(
    '%s, goes on from where it was, also from now, and misses nothing',
    async (how) => {
      const pair = await startPair()
      const before = open(pair.primary.url)
      await before.migrate()
      const kept = await store(before, 10)
      const cursors = [
        await follow(before, undefined, kept),
        await before.end(),
        (await before.readHistory(kept.at(-1)!))[0]!.cursor,
      ]
      if (how === 'switched in order') await pair.primary.shutDown()
      else {
        await pair.caughtUp()
        await pair.primary.kill()
      }
      await pair.standby.promote()
      const after = open(pair.standby.url)
      const given = await store(after, 10)
      const positions: Cursor[] = []
      for (const cursor of cursors) positions.push(await follow(after, cursor, given))

      // And once more, on the way back.
      await pair.primary.follow({ server: pair.standby })
      const meanwhile = await store(after, 2)
      await pair.standby.shutDown()
      await pair.primary.promote()
      const back = open(pair.primary.url)
      const later = await store(back, 5)
      for (const cursor of positions) await follow(back, cursor, [...meanwhile, ...later])
    },
  )

  it('that nobody noted before the next start meets an error: what was common is not known any more', async () => {
    const pair = await startPair()
    const before = open(pair.primary.url)
    await before.migrate()
    const cursor = await follow(before, undefined, await store(before, 3))
    await pair.caughtUp()
    pair.replication.refuse()
    pair.replication.cut()
    const lost = await follow(before, cursor, await store(before, 3))
    await pair.primary.kill()
    await pair.standby.promote()
    // Writes more on the new timeline than was lost on the old one. Crash recovery replays it.
    await sql(pair.standby, 'create table much as select generate_series(1, 100000)')
    await pair.standby.kill()
    await pair.standby.start()
    const after = open(pair.standby.url)
    await expect(after.read({ after: lost, limit: 100 })).rejects.toMatchObject({ code: 'E_CURSOR' })
  })
})
