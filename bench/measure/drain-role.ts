import type { Started, Subject } from '../subjects/subject.ts'
import type { Work } from './phases.ts'
import { clockMs } from './task.ts'
import type { FromChild } from './task.ts'

/** How often a drain says how far it is. */
const progressEveryMs = 20

interface Drain {
  readonly subject: Subject
  readonly work: Work
  readonly timed: () => Promise<void>
  readonly finish: Promise<void>
  readonly send: (message: FromChild) => void
}

/** Runs jobs until the parent says that the fleet has run all of them: only the parent knows how many each process gets. */
export async function runJobs({ subject, work, timed, finish, send }: Drain): Promise<() => number> {
  let [count, opening, said] = [0, 0, 0]
  let [firstMs, lastMs] = [0, 0]
  const start = (): void => {
    if (count === 0) {
      // A drain begins with its first handler.
      void timed()
      firstMs = clockMs()
      setImmediate(() => {
        opening = count
      })
    }
    lastMs = clockMs()
    count += 1
  }
  const { handlerMs } = work
  const started: Started =
    handlerMs === 0 ? start : () => (start(), new Promise((resolve) => setTimeout(resolve, handlerMs)))
  await subject.work(started, work.slots)
  const progress = setInterval(() => {
    if (count > said) send({ type: 'progress', progress: { count, opening, firstMs, lastMs } })
    said = count
  }, progressEveryMs)
  await finish
  clearInterval(progress)
  return () => count
}
