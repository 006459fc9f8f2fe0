import { randomUUID } from 'node:crypto'
import { expect, it, onTestFinished } from 'vitest'
import { createErrand } from '@errand/core'
import type { EventRecord } from '@errand/core/ports'
import { newJob, newTicket, quietLogger, until, workerRef } from '@errand/testkit'
import { postgres } from '@errand/log-postgres'
import { describeOnPostgres } from './stage.ts'

describeOnPostgres('records that are asked for at the same moment', ({ stage, log }) => {
  it('a job whose record cannot be read hides none of its neighbours from those who ask at the same moment', async () => {
    const jobs = Array.from({ length: 20 }, () => newJob({ queue: 'q' }))
    await log.append(jobs)
    const ids = jobs.map(({ id }) => id)
    // A damaged row: one of its times cannot be computed with.
    await stage.sql(`
      create or replace function errand.ms(at timestamptz) returns bigint language sql stable parallel safe
        return case when at = '2001-01-01 00:00:00+00' then 1 / (date_part('second', at)::integer)
                    else floor(date_part('epoch', at) * 1000)::bigint end`)
    await stage.sql(`update errand.jobs set dispatched_at = '2001-01-01 00:00:00+00' where id = $1`, [ids[7]])
    const answers = await Promise.allSettled(ids.map((id) => log.get(id)))
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
    expect(refused).toEqual([
      expect.objectContaining({
        code: 'E_LOG',
        message: expect.stringContaining(`job ${ids[7]}: `) as unknown,
      }),
    ])
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value?.id] : []))
    expect(found).toEqual(ids.filter((id) => id !== ids[7]))
    // Nor from those who wait for results.
    expect(await log.unfinished(ids)).toHaveLength(20)
  })
})

describeOnPostgres('what a newer build wrote', ({ stage, log }) => {
  it('is read as unknown, and its neighbours as they are', async () => {
    const [frozen, plain] = [newJob({ queue: 'q' }), newJob({ queue: 'q' })]
    await log.append([frozen, plain])
    // States and types of events are numbers, and these two have no meaning yet.
    await stage.sql('update errand.live set state = 99 where id = $1', [frozen.id])
    await stage.sql(
      `with told as (
         insert into errand.events (link, jobs, befores, version, type, state, name, queue, run, attempt)
         select 1, array[l.id], array[l.last], 2, 98, 99, 'a', 'q', 0, 0 from errand.live l where l.id = $1)
       update errand.live set last = 1 where id = $1`,
      [frozen.id],
    )
    expect(await log.get(frozen.id)).toMatchObject({ id: frozen.id, state: 'unknown' })
    expect((await log.list({}, { limit: 10 })).map(({ state }) => state).toSorted()).toEqual([
      'ready',
      'unknown',
    ])
    const told = (events: readonly EventRecord[]) => events.map(({ type, state }) => `${type} ${state}`)
    expect(told(await log.readHistory(frozen.id))).toEqual(['dispatched ready', 'unknown unknown'])
    // Another test's transaction may be open, and followers wait for what is older.
    const read = await until(async () => {
      const { events } = await log.read({ limit: 10 })
      return events.length === 3 ? events : undefined
    })
    expect(told(read)).toEqual(['dispatched ready', 'dispatched ready', 'unknown unknown'])

    const errand = createErrand({
      log: postgres({ url: stage.url, schema: stage.schema, poolSize: 2 }),
      driver: 'database',
      logger: quietLogger,
    })
    onTestFinished(() => errand.close())
    const followed: string[] = []
    for await (const event of errand.events.follow({ after: 'start' })) {
      followed.push(event.type)
      if (followed.length === 2) await log.append([newJob({ queue: 'q' })])
      if (followed.length === 4) break
    }
    expect(followed).toEqual(['dispatched', 'dispatched', 'unknown', 'dispatched'])

    // No rule of this build moves it, and none stops at it.
    const by = workerRef()
    await log.beat(by, { queues: ['q'], taking: true, progress: [] })
    const { logId } = await log.connect()
    expect(
      await log.claim([newTicket({ id: frozen.id, queue: 'q', log: logId })], 1, by, randomUUID()),
    ).toMatchObject([{ verdict: 'drop', why: 'finished' }])
    expect(await log.take(['q'], 10, by, randomUUID())).toHaveLength(2)
  })
})
