import { expect, it } from 'vitest'
import { newJob } from '@errand/testkit'
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
