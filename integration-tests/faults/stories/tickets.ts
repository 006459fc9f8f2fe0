// Tickets that are repeated, late, lost, forged, or no tickets at all.
import { expect } from 'vitest'
import { newTicket, until } from '@errand/testkit'
import { work } from '../../fleet/app/jobs.ts'
import { lasts, pause } from '../../fleet/looks.ts'
import { malformed, message } from '../../rabbitmq/forged.ts'
import type { Disturbance } from '../../fleet/app/tickets.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import type { Member } from '../../fleet/member.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { present, whileSqs } from '../makers.ts'
import { expectTypes, readTypes, withEnd } from './common.ts'

/** One more dispatcher, which sends such tickets to the broker. */
async function whileDisturbed(fleet: Fleet, tickets: Disturbance): Promise<void> {
  await fleet.start({ program: 'dispatcher', env: { TICKETS: tickets, EVERY_MS: '100', LINES: '5' } })
  await fleet.goesOn(200)
  await fleet.takesAgain()
}

/** How many requests a worker has made to SQS between the last two changes of its faults. */
function requestsMeanwhile(worker: Member): number {
  const told = [...worker.output().matchAll(/^requests (\d+)$/gm)].map(([, count]) => Number(count))
  expect(told.length).toBeGreaterThanOrEqual(2)
  return (told.at(-1) ?? 0) - (told.at(-2) ?? 0)
}

/** Puts messages on a lane, past the driver. */
function put({ place }: Fleet, lane: 'normal' | 'critical', contents: readonly Buffer[]): Promise<void> {
  return present(place.kind.broker).put(present(place.driver), 'work', lane, contents)
}

async function aWorkerSays(fleet: Fleet, text: RegExp): Promise<void> {
  const says = (): boolean => fleet.workers.some((worker) => text.test(worker.output()))
  await until(says, { what: `a worker says ${text}`, pause })
}

export const ticketStories: readonly Story[] = [
  story('tickets repeated', (fleet) => whileDisturbed(fleet, 'repeated')),
  story('tickets shuffled', (fleet) => whileDisturbed(fleet, 'shuffled')),

  story('SQS delete fails', (fleet) =>
    whileSqs(fleet, { failedDelete: 0.3, halfBatch: 0.3, duplicate: 0.2 }, () => fleet.goesOn(200)),
  ),

  story('SQS throttled', async (fleet) => {
    for (const fault of ['throttle', 'unavailable', 'missingQueue'] as const) {
      await whileSqs(fleet, { [fault]: 1 }, () => Promise.all([fleet.dispatchGoesOn(20), lasts(3_000)]))
      // Four lanes, three attempts of the SDK for each poll, waits that double from 100 ms; and some sends.
      for (const worker of fleet.workers) expect(requestsMeanwhile(worker)).toBeLessThan(4 * 3 * 10 + 3 * 40)
    }
  }),

  story('visibility ends', async (fleet) => {
    await withEnd(async (atTheEnd) => {
      const { env, broker } = await fleet.place.openThrough(atTheEnd)
      const ERRAND_DRIVER = (env['ERRAND_DRIVER'] ?? '').replace('visibility=3s', 'visibility=1s')
      const late = await fleet.start({ env: { ...env, ERRAND_DRIVER } })
      // Its tickets are too old when it can read them.
      present(broker).delay(700)
      await fleet.goesOn(200)
      // It cannot begin a job while all its tickets are too old.
      present(broker).delay(0)
      await fleet.takesAgain()
      present(broker).delay(700)
      late.signal('SIGTERM')
      expect(await late.exited, late.output()).toBe(0)
    })
  }),

  story('malformed ticket', async (fleet) => {
    const contents = malformed.map(([, content]) => content)
    await put(fleet, 'normal', [...contents, ...contents])
    await aWorkerSays(fleet, /a message that is not a ticket was (set aside|deleted)/)
    await fleet.goesOn()
    await fleet.takesAgain()
  }),

  story('foreign ticket', async (fleet) => {
    const { errand, log, dispatched } = fleet
    const { logId } = await log.connect()
    const later = await errand.dispatch(work, { n: 1, failures: 0, ms: 0 }, { delay: '1h' })
    const finished = dispatched.at(-1) ?? ''
    await until(async () => (await log.get(finished))?.finishedAt !== undefined, {
      what: 'a job has ended',
      pause,
    })
    const before = await readTypes(fleet, finished)
    const forged = [
      newTicket({ queue: 'work', log: logId }),
      newTicket({ queue: 'work', log: logId, id: "'; drop table jobs; --" }),
      newTicket({ queue: 'work', log: logId, id: 'x'.repeat(2_000) }),
      newTicket({ queue: 'elsewhere', log: logId, id: later.id }),
      newTicket({ queue: 'work', log: logId, id: later.id }),
      newTicket({ queue: 'work', log: logId, id: finished }),
      newTicket({ queue: 'work', log: 'another', id: later.id }),
    ].map(message)
    for (const lane of ['normal', 'critical'] as const)
      await put(fleet, lane, [...forged, ...forged, ...forged])
    await aWorkerSays(fleet, /a ticket of another job log was dropped/)
    await fleet.goesOn()
    await fleet.takesAgain()
    await expectTypes(fleet, later.id, ['dispatched'])
    await expectTypes(fleet, finished, before)
    await errand.jobs.cancel(later.id, { by: 'the test' })
  }),
]
