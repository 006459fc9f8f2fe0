import { randomUUID } from 'node:crypto'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createErrand } from '@errand/core'
import type { EventRecord } from '@errand/core/ports'
import { quietLogger } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

/** States and types of events that this build does not know. */
export function describeNewer(harness: JobLogHarness): void {
  const { fresh } = scenes(harness)

  describe.runIf(harness.capabilities.freeze)('newer builds', () => {
    it('what a newer build wrote is read as unknown, and its neighbours as they are', async () => {
      const on = await fresh()
      const { log } = on
      const [frozen, plain] = [await on.add(), await on.add()]
      await on.freeze(frozen)
      expect(await log.get(frozen.id)).toMatchObject({ id: frozen.id, state: 'unknown' })
      expect(await log.get(plain.id)).toMatchObject({ state: 'ready' })
      const listed = await log.list({}, { limit: 10 })
      expect(listed.map(({ state }) => state).toSorted()).toEqual(['ready', 'unknown'])
      const told = (events: readonly EventRecord[]) => events.map(({ type, state }) => `${type} ${state}`)
      expect(told(await log.readHistory(frozen.id))).toEqual(['dispatched ready', 'unknown unknown'])
      // Another test's transaction may be open, and followers wait for what is older.
      const read = await on.until(async () => {
        const { events } = await log.read({ limit: 10 })
        return events.length === 3 ? events : undefined
      })
      expect(told(read)).toEqual(['dispatched ready', 'dispatched ready', 'unknown unknown'])

      const another = await on.another()
      const errand = createErrand({
        log: { errand: 'job-log', name: 'another', open: () => another },
        driver: 'database',
        logger: quietLogger,
      })
      onTestFinished(() => errand.close())
      const followed: string[] = []
      for await (const event of errand.events.follow({ after: 'start' })) {
        followed.push(event.type)
        if (followed.length === 2) await on.add()
        if (followed.length === 4) break
      }
      expect(followed).toEqual(['dispatched', 'dispatched', 'unknown', 'dispatched'])

      // No rule of this build moves it, and none stops at it.
      const worker = await on.worker()
      const verdicts = await log.claim([on.ticket(frozen)], 1, worker, randomUUID())
      expect(verdicts).toMatchObject([{ verdict: 'drop', why: 'finished' }])
      expect(await log.take([on.queue], 10, worker, randomUUID())).toHaveLength(2)
    })
  })
}
