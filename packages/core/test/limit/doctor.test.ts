import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, defineLimit, handle } from '../../src/index.ts'
import type { DoctorReport } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, stage } from '../worker/stage.ts'
import type { Stage } from '../worker/stage.ts'

const mailApi = defineLimit({
  name: 'mail-api',
  key: (p: { tenant: string }) => p.tenant,
  concurrency: 2,
})
const send = defineJob({ name: 'mail.send', payload: z.object({ tenant: z.string() }), limit: mailApi })

async function findings({ errand }: Stage): Promise<DoctorReport['findings']> {
  return (await errand.doctor()).findings.filter(({ code }) => code.startsWith('limit-'))
}

test('doctor says how many jobs wait for a limit that no worker declares, until one does', async () => {
  await using on = stage()
  await on.errand.dispatchMany(['a', 'b', 'c'].map((tenant) => send.with({ tenant })))
  expect(await findings(on)).toEqual([
    {
      severity: 'error',
      code: 'limit-undeclared',
      message: expect.stringMatching(
        /^3 jobs wait for limit mail-api, which no worker has declared: start a worker that handles them/,
      ) as string,
    },
  ])
  await on.work({ handlers: [handle(send, () => {})] })
  await eventually(async () => expect(await findings(on)).toEqual([]))
})

test('doctor names a limit and a key that are closed for more than a day, and none that opens sooner', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  await on.work({ handlers: [handle(send, () => {})] })
  const close = (forTime: '2d' | '23h' | '40d', key?: string): Promise<void> =>
    on.errand.limits.close('mail-api', { key, for: forTime }, { by: 'ada', reason: 'they move' })
  await close('23h')
  await close('23h', 'soon')
  expect(await findings(on)).toEqual([])
  await close('2d')
  await close('40d', 'acme')
  expect(await findings(on)).toEqual([
    {
      severity: 'warning',
      code: 'limit-closed',
      message:
        'limit mail-api is closed for 2 more days by ada (they move): nothing of it starts; errand limits open mail-api ends that',
    },
    {
      severity: 'warning',
      code: 'limit-closed',
      message:
        'key "acme" of limit mail-api is closed for 40 more days by ada (they move): nothing of it starts; errand limits open mail-api --key "acme" ends that',
    },
  ])
  await on.errand.limits.open('mail-api', {}, 'ada')
  await on.errand.limits.open('mail-api', { key: 'acme' }, 'ada')
  expect(await findings(on)).toEqual([])
})

test('doctor says that ready jobs of a paused queue hold places for which others wait', async () => {
  await using on = stage()
  const worker = await on.work({ handlers: [handle(send, () => {})] })
  await worker.stop()
  const dispatch = (queue: string): Promise<unknown> => on.errand.dispatch(send, { tenant: 'a' }, { queue })
  await dispatch('media')
  await dispatch('media')
  await on.errand.queues.pause('media', 'ada')
  expect(await findings(on)).toEqual([])
  await dispatch('mail')
  expect(await findings(on)).toEqual([
    {
      severity: 'warning',
      code: 'limit-held',
      queue: 'media',
      message:
        'ready jobs of queue media, which is paused, hold 2 places of limit mail-api, and 1 job waits for the limit: resume the queue, or give its jobs a limit of their own',
    },
  ])
})
