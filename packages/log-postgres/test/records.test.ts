import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { JobLog } from '@errand/core/ports'
import { newJob } from '@errand/testkit'
import { openStage } from './stage.ts'
import type { Stage } from './stage.ts'

const url = inject('postgres')

describe.skipIf(url === undefined)('records that are asked for at the same moment', () => {
  let stage: Stage
  let log: JobLog
  beforeAll(async () => {
    stage = openStage(url!)
    log = stage.open()
    await log.migrate()
  })
  afterAll(() => stage?.close())

  it('a job whose record cannot be read hides none of its neighbours from those who ask at the same moment', async () => {
    const jobs = Array.from({ length: 20 }, () => newJob({ queue: 'q' }))
    await log.append(jobs)
    const ids = jobs.map(({ id }) => id)
    // Of a newer version, say.
    await stage.sql('update errand.live set state = 99 where id = $1', [ids[7]])
    const answers = await Promise.allSettled(ids.map((id) => log.get(id)))
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
    expect(refused).toEqual([
      expect.objectContaining({
        code: 'E_LOG',
        message: expect.stringContaining(`job ${ids[7]}: no state`) as unknown,
      }),
    ])
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value?.id] : []))
    expect(found).toEqual(ids.filter((id) => id !== ids[7]))
    // Nor from those who wait for results.
    expect(await log.unfinished(ids)).toHaveLength(20)
  })
})
