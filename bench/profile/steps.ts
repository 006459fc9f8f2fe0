import { clockMs } from '../measure/task.ts'
import { quantile } from '../report/summary.ts'
import { intercept, pgClients, shortened, statementText } from './intercept.ts'

/** A statement was sent or answered, or a notification heard. */
export interface Step {
  readonly what: string
  readonly atMs: number
}

/** The median time of a step, from the call of dispatch on, of the jobs in which it was seen. */
export interface StepTime {
  readonly what: string
  readonly ms: number
  readonly seen: number
}

/** Notes when this process's statements on PostgreSQL are sent and answered, and when it hears a notification. */
export class Steps {
  #steps: Step[] = []

  constructor(who: string) {
    const note = (what: string): void => {
      this.#steps.push({ what: `${who}: ${what}`, atMs: clockMs() })
    }
    for (const prototype of pgClients()) {
      intercept(prototype, 'query', (call, [query]) => {
        const name = shortened(statementText(query))
        note(`sent ${name}`)
        const answer = call()
        if (answer instanceof Promise) {
          const answered = (): void => note(`answered ${name}`)
          answer.then(answered, answered)
        }
        return answer
      })
      intercept(prototype, 'emit', (call, [event]) => {
        if (event === 'notification') note('heard')
        return call()
      })
    }
  }

  /** What was noted since the last call. */
  take(): readonly Step[] {
    return this.#steps.splice(0)
  }
}

/** In the order in which they come; of a step that comes several times within a job, each on its own. */
export function stepTimes(jobs: readonly (readonly Step[])[]): readonly StepTime[] {
  const times = new Map<string, number[]>()
  for (const steps of jobs) {
    const nth = new Map<string, number>()
    for (const { what, atMs } of steps) {
      const count = (nth.get(what) ?? 0) + 1
      nth.set(what, count)
      const key = count === 1 ? what : `${what} (${count})`
      const known = times.get(key)
      if (known) known.push(atMs)
      else times.set(key, [atMs])
    }
  }
  return [...times]
    .map(([what, all]) => ({ what, ms: quantile(all, 0.5) ?? Number.NaN, seen: all.length }))
    .toSorted((a, b) => a.ms - b.ms)
}
