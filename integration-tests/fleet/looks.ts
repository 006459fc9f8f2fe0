import type { JobLog } from '@errand/core/ports'
import { until } from '@errand/testkit'

/** The pause between two looks at large files and tables, where a look costs more than the wait. */
export const pause = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 100)
  })

/** No job of the log is live. */
export async function isEmpty(log: JobLog): Promise<boolean> {
  return (await log.queues()).every(
    ({ ready, scheduled, blocked, running, suspended }) =>
      ready + scheduled + blocked + running + suspended === 0,
  )
}

/** Waits until no job of the log is live. `before` runs before each look. */
export async function allEnded(log: JobLog, withinMs: number, before?: () => Promise<void>): Promise<void> {
  const hasEnded = async (): Promise<boolean> => {
    await before?.()
    return isEmpty(log)
  }
  await until(hasEnded, { what: 'every job has ended', withinMs, pause })
}

export async function collectIds(jobs: AsyncIterable<{ readonly id: string }>): Promise<ReadonlySet<string>> {
  const ids = new Set<string>()
  for await (const { id } of jobs) ids.add(id)
  return ids
}

/** Waits for a real span of time: the fault lasts this long. */
export async function lasts(ms: number): Promise<void> {
  const sinceMs = performance.now()
  await until(() => performance.now() - sinceMs >= ms, { withinMs: 2 * ms, pause })
}
