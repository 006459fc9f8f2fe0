/**
 * A worker that does nothing with its jobs, and says how long every statement of its log took: a line for each, with how
 * many rows it was about. Jobs that wait at its gate go on when it is told a line.
 */
import { createErrand, defineWorker, handle } from '@errand/core'
import type { JobLog, LogFactory } from '@errand/core/ports'
import { logFromUrl } from '../../services/logs.ts'
import { onLine } from '../../fleet/app/leash.ts'
import { gate, noop } from './jobs.ts'

/** `take 1.234 50`: milliseconds, as the worker waited for it, and rows. */
async function timed<T>(what: string, rows: (answer: T) => number, ask: () => Promise<T>): Promise<T> {
  const beganMs = performance.now()
  const answer = await ask()
  const ms = performance.now() - beganMs
  process.stdout.write(`${what} ${ms.toFixed(3)} ${rows(answer)}\n`)
  return answer
}

function timedLog(factory: LogFactory): LogFactory {
  return {
    ...factory,
    open(context): JobLog {
      const log = factory.open(context)
      return {
        ...log,
        take: (...args) =>
          timed(
            args[4]?.overdue ? 'take-overdue' : 'take',
            ({ length }) => length,
            () => log.take(...args),
          ),
        settle: (...args) =>
          timed(
            'settle',
            ({ length }) => length,
            () => log.settle(...args),
          ),
        sweep: (...args) =>
          timed(
            'sweep',
            ({ tickets }) => tickets.length,
            () => log.sweep(...args),
          ),
        published: (...args) =>
          timed(
            'published',
            () => args[0].length,
            () => log.published(...args),
          ),
        expedite: (...args) =>
          timed(
            'expedite',
            ({ jobs }) => jobs,
            () => log.expedite(...args),
          ),
      }
    },
  }
}

const opened = Promise.withResolvers<void>()
onLine(() => opened.resolve())
const errand = createErrand({
  log: timedLog(logFromUrl(process.env['ERRAND_LOG'] ?? '')),
  driver: 'database',
})
const worker = errand.work(
  defineWorker({
    concurrency: Number(process.env['CONCURRENCY'] ?? 100),
    handlers: [handle(noop, () => {}), handle(gate, () => opened.promise)],
  }),
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
