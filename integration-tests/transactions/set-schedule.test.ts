import { createErrand, defineJob } from '@errand/core'
import type { Errand, SetBy } from '@errand/core'
import { quietLogger } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { applicationOn } from '../fleet/application.ts'
import type { Application } from '../fleet/application.ts'
import { logs, makeEmptyLog } from '../fleet/shared.ts'

const sync = defineJob({ name: 'sync', payload: z.object({ tenant: z.number() }) })
const tenant = { name: 'sync:7', job: sync, every: '1h', payload: { tenant: 7 } } as const

async function scene(name: string): Promise<{ readonly errand: Errand; readonly application: Application }> {
  const url = makeEmptyLog(name)
  const errand = createErrand({ log: url, driver: 'database', logger: quietLogger })
  onTestFinished(() => errand.close())
  await errand.connect()
  return { errand, application: applicationOn(name, url) }
}

describe.each(logs)('a schedule that is set inside a transaction on %s', (name) => {
  test('is there once that has committed, and never was if that rolls back', async () => {
    const { errand, application } = await scene(name)
    await application.transaction((tx) => errand.schedules.set(tenant, { by: 'sign-up', tx }), 'rollback')
    expect(await errand.schedules.list()).toEqual([])
    await application.transaction(async (tx) => {
      await errand.schedules.set(tenant, { by: 'sign-up', reason: 'a new tenant', tx })
      expect(await errand.schedules.list()).toEqual([])
      // Once more in the same transaction, which sees what it has set.
      await errand.schedules.set({ ...tenant, every: '2h' }, { by: 'sign-up', tx })
    }, 'commit')
    expect(await errand.schedules.list()).toMatchObject([
      {
        name: 'sync:7',
        times: 'every 2h',
        acts: [{ what: 'set', by: 'sign-up', reason: 'a new tenant' }, { what: 'set' }],
      },
    ])
  })

  test('is refused for what is no transaction, and for bad input, before anything is sent', async () => {
    const { errand, application } = await scene(name)
    const set = (by: unknown): Promise<void> => errand.schedules.set(tenant, by as SetBy)
    await expect(set({ by: 'me', tx: {} })).rejects.toMatchObject({ code: 'E_TRANSACTION' })
    await expect(set({ by: 'me', trx: {} })).rejects.toMatchObject({ code: 'E_OPTION' })
    await expect(set(undefined)).rejects.toMatchObject({ code: 'E_OPTION' })
    await application.transaction(async (tx) => {
      const misfit = { ...tenant, payload: { tenant: 'seven' as never } }
      await expect(errand.schedules.set(misfit, { by: 'me', tx })).rejects.toMatchObject({
        code: 'E_PAYLOAD_INVALID',
      })
      await errand.schedules.set(tenant, { by: 'me', tx })
    }, 'commit')
    expect(await errand.schedules.list()).toHaveLength(1)
  })
})

describe.runIf(logs.includes('postgres'))('a schedule in an open transaction on postgres', () => {
  test('can be paused by others once that has ended, and its own transaction meets a pause before it', async () => {
    const { errand, application } = await scene('postgres')
    await errand.schedules.set(tenant, 'me')
    let paused: Promise<void> | undefined
    await application.transaction(async (tx) => {
      await errand.schedules.pause(tenant.name, 'ada')
      await errand.schedules.set({ ...tenant, every: '2h' }, { by: 'sign-up', tx })
      paused = errand.schedules.resume(tenant.name, 'ben')
    }, 'commit')
    await paused
    expect((await errand.schedules.get(tenant.name))?.acts.map(({ what }) => what)).toEqual([
      'set',
      'paused',
      'set',
      'resumed',
    ])
  })
})
