// A broker that fails.
import { expect } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { aside, work } from '../../fleet/app/jobs.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { afterReturnMs } from '../../fleet/limits.ts'
import { lasts, pause } from '../../fleet/looks.ts'
import { deleteQueues, makers, present, purgeQueue } from '../makers.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { onFreshLog } from './fresh-log.ts'

/** Nobody fetches tickets while dispatching goes on: this many tickets are on the broker at the end. */
async function whileTicketsWait(fleet: Fleet, act: () => Promise<void>): Promise<void> {
  for (const worker of fleet.workers) worker.signal('SIGSTOP')
  try {
    await fleet.dispatchGoesOn(40)
    await act()
  } finally {
    for (const worker of fleet.workers) worker.signal('SIGCONT')
  }
}

const awayMs = 5_000
const made = (fault: keyof typeof makers): Story => story(fault, (fleet) => makers[fault](fleet, awayMs))

export const brokerStories: readonly Story[] = [
  made('connections closed'),
  made('connections torn'),
  made('broker restarted'),
  made('broker killed'),

  story('broker wiped', async (fleet) => {
    const broker = present(fleet.place.broker)
    await whileTicketsWait(fleet, () => broker.wipe())
    await broker.start()
    await fleet.takesAgain()
  }),

  made('memory alarm'),

  story('queue purged', async (fleet) => {
    await whileTicketsWait(fleet, () => purgeQueue(fleet))
    await fleet.takesAgain()
  }),

  made('queue deleted'),

  story('queue with other arguments', async (fleet) => {
    const { kind, makeOwnDriver } = fleet.place
    const broker = present(kind.broker)
    const driver = present(makeOwnDriver())
    const wrong = await present(broker.declareOtherwise)(driver, 'aside', 'low')
    // On a log of its own: other relays would see tickets waiting, and would not publish them again.
    await onFreshLog(fleet, { driver, publishGraceMs: 1_000 }, async (on) => {
      const worker = await fleet.start({ env: { ...on.env, QUEUES: 'work,aside' } })
      const state = async () => (await on.errand.workers.list()).find(({ id }) => id === worker.id)
      await until(async () => (await state())?.why?.includes(wrong.says), { what: 'the worker tells', pause })
      expect(worker.output()).toContain(wrong.says.split(' ').at(-1))
      const other = await on.errand.dispatch(work, { n: 1, failures: 0, ms: 0 })
      await on.errand.result(other, { timeout: scaleLimit(20_000) })
      // Nobody fetches its ticket. A worker that has got nothing of the queue for 5 s takes the job from the log.
      await lasts(6_000)
      const receipt = await on.errand.dispatch(aside, { n: 1 }, { lane: 'high' })
      await on.errand.result(receipt, { timeout: scaleLimit(60_000) })

      await wrong.remove()
      await fleet.recovers('the worker takes from both queues', afterReturnMs, async () =>
        Boolean((await state())?.taking),
      )
      worker.signal('SIGTERM')
      expect(await worker.exited, worker.output()).toBe(0)
      expect(await on.violations()).toBe('')
    })
    await broker.deleteQueues(driver, ['work', 'aside'])
  }),

  story('unroutable', async (fleet) => {
    await whileTicketsWait(fleet, async () => {
      await deleteQueues(fleet)
      await fleet.dispatchGoesOn(40)
    })
    await fleet.takesAgain()
  }),

  made('confirm lost'),
]
