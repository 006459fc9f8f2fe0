import { setTimeout as pause } from 'node:timers/promises'
import type { Child } from './child-process.ts'
import { mostSeconds } from './phases.ts'
import { readCpuSeconds } from './process-cpu.ts'
import type { Scene } from './scene.ts'
import type { Measured, Progress } from './task.ts'

const stuckMs = 60_000
const followEveryMs = 20

/**
 * Worker processes run the jobs that wait. The clock runs from the start of the first handler to the start of the n-th, or
 * until the time is over. The start of a worker is not measured. At the end only jobs that a worker had prefetched may be
 * unsettled. Jobs that started together with the first one were fetched before the clock ran, so they do not count. Followers
 * must have seen everything before it is over, and their cost is added to that of the processes.
 */
export async function drain(scene: Scene, processes: number, n: number): Promise<readonly Measured[]> {
  const task = scene.task('drain', n)
  await using stack = new AsyncDisposableStack()
  const followers = task.place.followers > 0 ? stack.use(scene.child(scene.task('follow', n))) : undefined
  const seeing = followers && watchFollowers(followers)
  const fleet = Array.from({ length: processes }, () => stack.use(scene.child(task)))
  await Promise.all([...fleet, ...(followers ? [followers] : [])].map((child) => child.ready))
  const watching = watch(fleet, n)
  followers?.go()
  for (const child of fleet) child.go()
  const rate = computeRate(await watching)
  const measured = await Promise.all(fleet.map((child) => child.finish()))
  const drained = measured.map((one) => (rate === undefined ? one : { ...one, rate }))
  if (!followers || !seeing) return drained

  // The servers' work for events that followers have not seen yet comes after the drain.
  const servers = (): number => task.servers.reduce((sum, pid) => sum + readCpuSeconds(pid), 0)
  const from = servers()
  const ran = measured.reduce((sum, { jobs }) => sum + jobs, 0)
  await seeing(ran)
  const serverCpuSeconds = servers() - from
  return [...drained, { ...(await followers.finish()), serverCpuSeconds, jobs: 0 }]
}

/** Jobs per second; undefined if all were fetched at once: too few for a rate. */
function computeRate(fleet: readonly Progress[]): number | undefined {
  const [first] = fleet.toSorted((a, b) => a.firstMs - b.firstMs)
  if (!first) return undefined
  const counted = sumCounts(fleet) - first.opening
  const ms = Math.max(...fleet.map(({ lastMs }) => lastMs)) - first.firstMs
  return counted > 0 ? (counted * 1_000) / ms : undefined
}

const sumCounts = (fleet: Iterable<Progress>): number => [...fleet].reduce((sum, { count }) => sum + count, 0)

/** How far each process was when all jobs had been run, or the time was over. */
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
      const { firstMs, lastMs } = message.progress
      if (sumCounts(said.values()) >= n || lastMs - firstMs > 1_000 * mostSeconds) all.resolve()
    })
  }
  try {
    await all.promise
    return [...said.values()]
  } finally {
    clearTimeout(stuck)
  }
}

/** Resolves when each follower has seen the ends of this many jobs, and fails if they see nothing more. */
function watchFollowers(followers: Child): (count: number) => Promise<void> {
  const progress = { seen: 0, sinceMs: Date.now() }
  followers.onMessage((message) => {
    if (message.type !== 'seen' || message.count === progress.seen) return
    progress.seen = message.count
    progress.sinceMs = Date.now()
  })
  return async (count) => {
    progress.sinceMs = Date.now()
    while (progress.seen < count) {
      if (Date.now() - progress.sinceMs > stuckMs)
        throw new Error(`followers have seen the ends of ${progress.seen} of ${count} jobs`)
      await pause(followEveryMs)
    }
  }
}
