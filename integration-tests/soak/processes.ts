// Workers and dispatchers that are killed, frozen, blocked and stopped.
import { until } from '@errand/testkit'
import type { JobRecord } from '@errand/core/ports'
import { afterCrashMs, afterReturnMs, leaseMs } from '../fleet/limits.ts'
import { hog } from '../fleet/app/jobs.ts'
import { freeze } from '../fleet/freeze.ts'
import { lasts, pause } from '../fleet/looks.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Member } from '../fleet/member.ts'
import type { Maker } from './makers.ts'

/** The first worker is neither killed nor stopped, so that its memory can be checked over a long time. */
function victims({ workers }: Fleet): readonly Member[] {
  return workers.slice(1)
}

function victim(fleet: Fleet, which: number): Member {
  const all = victims(fleet)
  return all[Math.floor(which * all.length)]!
}

/** Waits for a moment in which the worker runs a job, but not for ever. */
async function whileItRuns(fleet: Fleet, worker: Member): Promise<void> {
  const runs = async (): Promise<boolean> => (await fleet.heldBy(worker.id)).length > 0
  await until(runs, { withinMs: 10_000, pause }).catch(() => {})
}

/** Each of these jobs was started again, or has ended, or waits because it was lost twice in a row. */
async function haveMoved(fleet: Fleet, held: readonly JobRecord[]): Promise<boolean> {
  const now = await Promise.all(held.map(({ id }) => fleet.log.get(id)))
  return now.every(
    (job, index) =>
      job?.finishedAt !== undefined ||
      (job?.run ?? 0) > (held[index]?.run ?? 0) ||
      (job?.state === 'scheduled' && job.crashes > 1),
  )
}

async function jobsRunElsewhere(fleet: Fleet, worker: Member, sinceMs: number): Promise<void> {
  const held = await fleet.heldBy(worker.id)
  if (held.length === 0) return
  await fleet.recovers('its jobs run again', afterCrashMs, () => haveMoved(fleet, held), sinceMs)
}

async function stopInOrder(fleet: Fleet, worker: Member): Promise<void> {
  worker.signal('SIGTERM')
  await fleet.recovers('it has ended in order', afterReturnMs, () => worker.ended !== undefined)
}

export const processMakers: Readonly<
  Record<
    | 'worker killed'
    | 'frozen past its lease'
    | 'event loop blocked'
    | 'SIGTERM'
    | 'rolling restart'
    | 'dispatcher killed',
    Maker
  >
> = {
  async 'worker killed'(fleet, { which }) {
    const worker = victim(fleet, which)
    await whileItRuns(fleet, worker)
    worker.signal('SIGKILL')
    const sinceMs = performance.now()
    await jobsRunElsewhere(fleet, worker, sinceMs)
    await fleet.replace(worker)
  },

  async 'frozen past its lease'(fleet, { which }) {
    const worker = victim(fleet, which)
    await whileItRuns(fleet, worker)
    await freeze(worker, fleet.place.log)
    const sinceMs = performance.now()
    try {
      await jobsRunElsewhere(fleet, worker, sinceMs)
      await lasts(Math.max(1, sinceMs + 2 * leaseMs - performance.now()))
    } finally {
      worker.signal('SIGCONT')
    }
    await fleet.takesAgain()
  },

  async 'event loop blocked'(fleet) {
    const job = await fleet.errand.dispatch(hog, { ms: 2 * leaseMs })
    await fleet.errand.result(job, { timeout: '60s' })
    const types = (await fleet.log.readHistory(job.id)).map(({ type }) => type)
    if (types.join() !== 'dispatched,started,succeeded')
      fleet.violations.push(`a job that blocked the event loop was not run once: ${types.join(', ')}`)
  },

  async SIGTERM(fleet, { which }) {
    const worker = victim(fleet, which)
    await whileItRuns(fleet, worker)
    await stopInOrder(fleet, worker)
    await fleet.replace(worker)
  },

  async 'rolling restart'(fleet) {
    for (const worker of victims(fleet)) {
      await fleet.replace(worker)
      await stopInOrder(fleet, worker)
    }
    await fleet.takesAgain()
  },

  async 'dispatcher killed'(fleet) {
    fleet.dispatcher.signal('SIGKILL')
    await fleet.dispatcher.exited
    await fleet.replace(fleet.dispatcher)
    const sinceMs = performance.now()
    let goesOn = false
    void fleet.dispatchGoesOn(5).then(
      () => (goesOn = true),
      () => {},
    )
    await fleet.recovers('dispatch goes on', afterReturnMs, () => goesOn, sinceMs)
  },
}
