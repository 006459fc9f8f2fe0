import { describe, expect, it } from 'vitest'
import type { NewTransfer, Transfer } from '@errand/core/ports'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const rabbit = 'rabbitmq amqp://broker:5672/?prefix=it\'s "x"'
const moving: NewTransfer = {
  phase: 'moving',
  from: { place: 'database', url: undefined },
  to: { place: rabbit, url: 'env:ERRAND_DRIVER_NEXT' },
  left: ['database', 'sqs eu-west-1'],
  by: 'ada',
}

export function describeTransfer(harness: JobLogHarness): void {
  const { fresh } = scenes(harness)

  describe('transfer', () => {
    it('there is no record until one is written: not for who asks, who connects, or a worker', async () => {
      const on = await fresh()
      expect(await on.log.transfer()).toBeUndefined()
      expect((await (await on.another()).connect()).transfer).toBeUndefined()
      expect((await on.beat(await on.worker())).transfer).toBeUndefined()
    })

    it('who asks, who connects later and every heartbeat are told, with when and by whom', async () => {
      const on = await fresh()
      const worker = await on.worker()
      const before = await on.now()
      const written = await on.log.setTransfer(moving, 0)
      expect(written).toEqual({ ...moving, revision: 1, at: expect.any(Number) as number })
      expect(written!.at).toBeGreaterThanOrEqual(before)
      expect(written!.at).toBeLessThanOrEqual(await on.now())
      expect(await on.log.transfer()).toEqual(written)
      expect((await on.beat(worker)).transfer).toEqual(written)
      const another = await on.another()
      expect((await another.connect()).transfer).toEqual(written)
      expect(await another.transfer()).toEqual(written)
    })

    it('only who knows the record as it stands may change it', async () => {
      const on = await fresh()
      await on.log.setTransfer(moving, 0)
      expect(await on.log.setTransfer({ ...moving, by: 'bob' }, 0)).toBeUndefined()
      expect(await on.log.setTransfer({ ...moving, by: 'bob' }, 2)).toBeUndefined()
      expect((await on.log.transfer())?.by).toBe('ada')
      expect(await on.log.setTransfer({ ...moving, phase: 'moved' }, 1)).toMatchObject({
        revision: 2,
        phase: 'moved',
      })
      expect(await on.log.transfer()).toMatchObject({ revision: 2, phase: 'moved', to: moving.to })
    })

    it('of many who begin at the same time one succeeds', async () => {
      const on = await fresh()
      const logs = [on.log, await on.another(), await on.another()]
      const written = await Promise.all(
        [...logs, ...logs].map((log, index) => log.setTransfer({ ...moving, by: `person ${index}` }, 0)),
      )
      const [winner, ...others] = written.filter((each): each is Transfer => each !== undefined)
      expect(others).toEqual([])
      expect(await on.log.transfer()).toEqual(winner)
    })

    it('a sweep, a restored backup and a worker that leaves do not touch it', async () => {
      const on = await fresh()
      const written = await on.log.setTransfer(moving, 0)
      await on.sweep()
      await on.log.leave(await on.worker())
      await on.log.migrate({ restored: true })
      expect(await on.log.transfer()).toEqual(written)
    })

    it('a worker says which drivers it serves; one that says nothing serves none', async () => {
      const on = await fresh()
      const [first, second] = [await on.worker(), await on.worker()]
      const serves = async (): Promise<readonly (readonly string[] | undefined)[]> => {
        const workers = await on.log.workers()
        return [first, second].map(({ id }) => workers.find((worker) => worker.id === id)?.drivers)
      }
      expect(await serves()).toEqual([[], []])
      await on.beat(first, { drivers: [rabbit, 'database'] })
      expect(await serves()).toEqual([[rabbit, 'database'], []])
      await on.beat(first, { drivers: [rabbit] })
      expect(await serves()).toEqual([[rabbit], []])
    })
  })
}
