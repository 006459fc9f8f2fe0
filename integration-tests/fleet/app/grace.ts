import type { LogFactory } from '@errand/core/ports'

/** The same log with a given grace instead of 30 s. After it, jobs of all lanes but the critical one count as overdue. */
export function withGrace(factory: LogFactory, publishGraceMs: number): LogFactory {
  return {
    ...factory,
    open(context) {
      const log = factory.open(context)
      return {
        ...log,
        append: (jobs, appendOptions) =>
          log.append(
            jobs.map((job) => (job.lane === 'critical' ? job : { ...job, publishGraceMs })),
            appendOptions,
          ),
      }
    },
  }
}
