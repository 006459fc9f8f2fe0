import { describe, expect, it } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { lasts } from '../fleet/looks.ts'
import { queue, work } from './jobs.ts'
import { hasSqs, logs, scene } from './scene.ts'

const by = { by: 'mia' }

describe.skipIf(!hasSqs).each(logs)(
  'jobs whose tickets are in SQS, with the log on %s',
  { concurrent: true },
  (name) => {
    it('can be looked at, cancelled, and moved to another lane: what SQS holds decides nothing', async (test) => {
      const { begun, corner, errand, violations, work: start } = await scene(name, test)
      // One by one: tickets that are published together would share a message.
      const cancelled = await errand.dispatch(work, {})
      const first = await errand.dispatch(work, {})
      const moved = await errand.dispatch(work, {})
      await until(async () => (await corner.tickets(queue, 'normal')) === 3, {
        what: 'three tickets are in SQS',
      })

      expect(await errand.jobs.get(moved.id)).toMatchObject({ state: 'ready', lane: 'normal', attempt: 0 })
      expect(await errand.jobs.cancel(cancelled.id, by)).toBe(1)
      await errand.jobs.change(moved.id, { lane: 'critical' }, by)
      // Its old ticket is still there, and has no effect.
      await until(async () => (await corner.tickets(queue, 'critical')) === 1, { what: 'a new ticket' })
      expect(await corner.tickets(queue, 'normal')).toBe(3)

      await start({ concurrency: 1 })
      await Promise.all(
        [moved, first].map((receipt) => errand.result(receipt, { timeout: scaleLimit(20_000) })),
      )
      await until(async () => (await corner.tickets(queue)) === 0, { what: 'no ticket is left' })
      // In any order: a slow SQS may answer for one lane before the other.
      expect(begun().toSorted()).toEqual([first.id, moved.id].toSorted())
      expect((await errand.events.of(cancelled.id)).map(({ type }) => type)).toEqual([
        'dispatched',
        'cancelled',
      ])
      expect((await errand.events.of(moved.id)).map(({ type }) => type)).toEqual([
        'dispatched',
        'changed',
        'started',
        'succeeded',
      ])
      expect(await violations()).toBe('')
    })

    it('may run longer than the visibility timeout: they run once, and nothing has to be extended', async (test) => {
      const {
        begun,
        corner,
        errand,
        faults,
        letGo,
        violations,
        work: start,
      } = await scene(name, test, { visibility: '1s' })
      await Promise.all([start(), start()])
      const receipt = await errand.dispatch(work, { held: true })
      await until(() => begun().length === 1, { what: 'the handler has begun' })
      await until(async () => (await corner.tickets(queue)) === 0, {
        what: 'its ticket is gone while it runs',
      })
      await lasts(2_000)
      expect((await errand.jobs.get(receipt.id))?.state).toBe('running')
      letGo()
      await errand.result(receipt, { timeout: scaleLimit(20_000) })
      expect(begun()).toEqual([receipt.id])
      expect(faults.requests['ChangeMessageVisibilityBatch']).toBeUndefined()
      expect(await violations()).toBe('')
    })
  },
)
