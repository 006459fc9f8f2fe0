// What it means that a fleet takes jobs again.
import type { Errand } from '@errand/core'
import { until } from '@errand/testkit'
import { work } from './app/jobs.ts'
import { pause } from './looks.ts'
import type { Scene } from './scene.ts'

/** This many workers are alive, and each of them says that it takes jobs. */
export async function allTake(errand: Errand, count: number): Promise<boolean> {
  const alive = (await errand.workers.list()).filter((worker) => worker.alive)
  return alive.length === count && alive.every(({ taking }) => taking)
}

/** A job of this length keeps its slot until every worker has had its turn, as a rule. */
const probeMs = 1_000

/**
 * Dispatches more jobs than all workers but one have slots for, and waits until each worker runs one: those that are
 * named, or else all that are alive. A worker that says that it takes jobs, and gets none, is found by nothing else: the
 * others do its work. A broker may deal them out unevenly, so as long as a worker has had none there are new ones.
 */
export async function everyWorkerRuns(
  {
    errand,
    log,
    workers,
  }: Pick<Scene, 'errand' | 'log'> & { readonly workers?: readonly string[] | undefined },
  slotsOfOne: number,
): Promise<void> {
  const alive = workers ?? (await errand.workers.list()).filter((worker) => worker.alive).map(({ id }) => id)
  const running = new Set<string | undefined>()
  const idle = (): string[] => alive.filter((id) => !running.has(id))
  let ids = new Set<string>()
  const probe = async (): Promise<void> => {
    const probes = Array.from({ length: alive.length * slotsOfOne }, () =>
      work.with({ n: -2, failures: 0, ms: probeMs }, { lane: 'critical' }),
    )
    ids = new Set((await errand.dispatchMany(probes)).map(({ id }) => id))
  }
  const look = async (): Promise<boolean> => {
    for (const job of await log.list({ state: 'running' }, { limit: 500 }))
      if (ids.has(job.id)) running.add(job.worker)
    if (idle().length === 0) return true
    if ((await log.unfinished([...ids])).length === 0) await probe()
    return false
  }
  await until(look, { pause }).catch(() => {
    throw new Error(`up, and takes nothing: ${idle().join(', ')}`)
  })
}

/** Dispatches a job whose grace is 30 s: if it starts now, its ticket was published and delivered. */
export async function startsByTicket({ errand, log }: Pick<Scene, 'errand' | 'log'>): Promise<boolean> {
  const { id } = await errand.dispatch(work, { n: -1, failures: 0, ms: 0 }, { lane: 'critical' })
  const hasStarted = async (): Promise<boolean> =>
    (await log.readHistory(id)).some(({ type }) => type === 'started')
  try {
    return await until(hasStarted, { withinMs: 500 })
  } catch {
    // Its ticket is lost: the test must not wait half a minute for it.
    await errand.jobs.cancel(id, { by: 'the test' })
    return false
  }
}
