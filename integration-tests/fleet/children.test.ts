import { describe, expect, test } from 'vitest'
import { until } from '@errand/testkit'
import { family, member } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { allEnded, collectIds } from './looks.ts'
import { startWorker } from './member.ts'
import { places, scene } from './shared.ts'

describe.each(places)('a parent, on $title', ({ name }) => {
  test('whose worker is killed after it has dispatched, and whose next run fails, has each child once', async () => {
    const on = await scene(name, { publishGraceMs: 2_000 })
    const workers = await Promise.all([startWorker(on.env), startWorker(on.env)])
    const { id } = await on.errand.dispatch(family, { members: 5, ms: 20_000 })
    const succeeded = () => collectIds(on.errand.jobs.list({ job: member, state: 'succeeded' }))
    await until(async () => (await succeeded()).size === 5, {
      what: 'its children have ended',
      withinMs: 30_000,
    })
    const started = (await on.log.readHistory(id)).find((event) => event.type === 'started')
    workers.find((worker) => worker.id === started?.worker)?.signal('SIGKILL')
    await allEnded(on.log, 60_000)

    const types = (await on.log.readHistory(id)).map(({ type }) => type)
    expect(types).toEqual([
      'dispatched',
      'started',
      'lost',
      'started',
      'errored',
      'due',
      'started',
      'succeeded',
    ])
    const ids = await collectIds(on.errand.jobs.list({ job: member }))
    expect(ids.size).toBe(5)
    const ended = readLedger(on.ledger).filter((line) => line.mark === 'ended' && line.jobId !== id)
    expect(ended.map(({ jobId }) => jobId).toSorted()).toEqual([...ids].toSorted())
    expect(await on.violations()).toBe('')
  })
})
