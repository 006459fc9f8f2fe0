import { beforeAll, expect, it } from 'vitest'
import { newJob, workerRef } from '@errand/testkit'
import { describeOnPostgres } from './stage.ts'
describeOnPostgres('what doctor asks of a log with a long queue', ({ stage, log }) => {
  beforeAll(async () => {
    await log.append([
      ...Array.from({ length: 3 }, () => newJob({ queue: 'short' })),
      newJob({ queue: 'long' }),
    ])
    await stage.sql(`
      insert into errand.live (id, seq, publish_after, lane, state, last, unique_mode, fails_on_crash,
                               skips_on_failure, queue, name)
      select gen_random_uuid(), 1000 + n, clock_timestamp(), 300, 3, 1, 0, false, false, 'long', 'a'
        from generate_series(1, 20000) n`)
    await stage.sql('analyze errand.live')
    await log.beat(workerRef(), { queues: ['served'], taking: true, progress: [] })
    await log.pause('paused', { by: 'ada' })
  })

  it('counts its jobs up to a limit, and knows every queue', async () => {
    expect(await log.backlogs?.(100)).toEqual([
      { name: 'long', paused: false, pausedBy: undefined, ready: 100 },
      { name: 'paused', paused: true, pausedBy: 'ada', ready: 0 },
      { name: 'served', paused: false, pausedBy: undefined, ready: 0 },
      { name: 'short', paused: false, pausedBy: undefined, ready: 3 },
    ])
  })
})
