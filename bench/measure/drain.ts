import { spawnChild } from './child-process.ts'
import type { Child } from './child-process.ts'
import type { Scene } from './round.ts'
import type { Measured, Progress } from './task.ts'

const stuckMs = 60_000

/**
 * Worker processes run the jobs that wait. The clock runs from the start of the first handler to the start of the n-th:
 * what a worker loads when it starts is not measured, and what is not yet settled at the end is at most what it had prefetched.
 * Jobs that started together with the first one were fetched before the clock ran, so they do not count.
 */
export async function drain(scene: Scene, processes: number): Promise<readonly Measured[]> {
  const task = scene.task('drain')
  await using stack = new AsyncDisposableStack()
  const fleet = Array.from({ length: processes }, () => stack.use(spawnChild(task)))
  await Promise.all(fleet.map((child) => child.ready))
  const watching = watch(fleet, task.n)
  for (const child of fleet) child.go()
  const rate = computeRate(await watching)
  const measured = await Promise.all(fleet.map((child) => child.finish()))
  return measured.map((one) => (rate === undefined ? one : { ...one, rate }))
}

/** Jobs per second; undefined where all were fetched at once: too few for a rate. */
function computeRate(fleet: readonly Progress[]): number | undefined {
  const [first] = fleet.toSorted((a, b) => a.firstMs - b.firstMs)
  if (!first) return undefined
  const counted = sumCounts(fleet) - first.opening
  const ms = Math.max(...fleet.map(({ lastMs }) => lastMs)) - first.firstMs
  return counted > 0 ? (counted * 1_000) / ms : undefined
}

const sumCounts = (fleet: Iterable<Progress>): number => [...fleet].reduce((sum, { count }) => sum + count, 0)

/** How far each process was when all jobs had been run. */
async function watch(fleet: readonly Child[], n: number): Promise<readonly Progress[]> {
  const said = new Map<Child, Progress>()
  const all = Promise.withResolvers<void>()
  const stuck = setTimeout(() => {
    const count = sumCounts(said.values())
    all.reject(new Error(`${count} of ${n} jobs were run, and then none for ${stuckMs / 1_000} s`))
  }, stuckMs)
  for (const child of fleet) {
    child.measured.catch((error: unknown) => all.reject(error as Error))
    child.onMessage((message) => {
      if (message.type !== 'progress') return
      stuck.refresh()
      said.set(child, message.progress)
      if (sumCounts(said.values()) >= n) all.resolve()
    })
  }
  try {
    await all.promise
    return [...said.values()]
  } finally {
    clearTimeout(stuck)
  }
}
