// What it means that a fleet takes jobs again.
import type { Errand } from '@errand/core'
import { until } from '@errand/testkit'
import { work } from './app/jobs.ts'
import type { Scene } from './scene.ts'

/** So many workers are alive, and each of them says that it takes jobs. */
export async function allTake(errand: Errand, count: number): Promise<boolean> {
  const alive = (await errand.workers.list()).filter((worker) => worker.alive)
  return alive.length === count && alive.every(({ taking }) => taking)
}

/** Dispatches a job whose grace is 30 s: if it starts now, its ticket was published and delivered. */
export async function startsByTicket({ errand, log }: Pick<Scene, 'errand' | 'log'>): Promise<boolean> {
  const { id } = await errand.dispatch(work, { n: -1, failures: 0, ms: 0 }, { lane: 'critical' })
  const hasStarted = async (): Promise<boolean> =>
    (await log.eventsOf(id)).some(({ type }) => type === 'started')
  try {
    return await until(hasStarted, { withinMs: 500 })
  } catch {
    // Its ticket is lost: nobody shall wait half a minute for it.
    await errand.jobs.cancel(id, { by: 'the test' })
    return false
  }
}
