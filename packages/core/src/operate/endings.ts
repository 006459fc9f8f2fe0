import { toError } from '../errors.ts'
import type { Settings } from '../config/defaults.ts'
import { outside } from '../outside.ts'
import type { Clock } from '../ports/clock.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { Bell } from './bell.ts'

/** Tells those who wait for the end of a job. */
export interface Endings {
  /**
   * Resolves when the job ends from now on, or the signal aborts; rejects with what the log throws. Of an end that was
   * before it hears within `followEveryMs`: who cares asks the log once, after this call.
   */
  ended(id: string, signal: AbortSignal): Promise<void>
}

export interface EndingsDeps {
  readonly log: Pick<JobLog, 'unfinished'>
  readonly clock: Clock
  readonly bell: Bell
  readonly settings: Pick<Settings, 'batchItems' | 'followEveryMs'>
}

/** Jobs that a look asks about: so many of those that wait the longest, and as many of the others in turn. */
const fewest = 50
/** At most one part in so many of the time is spent looking. */
const share = 5

interface Waiting {
  readonly tell: (error?: Error) => void
}

/**
 * One look at the log serves all who wait in this process, and asks about a bounded number of jobs however many wait: n
 * waiters that all ask whenever anything happens cost n². Jobs end about in the order in which they were dispatched, so
 * those that wait the longest are asked about in each look, the others in turn, and all of them once in a while.
 */
export function endingsOf({ log, clock, bell, settings }: EndingsDeps): Endings {
  const { batchItems, followEveryMs } = settings
  /** By job. In the order in which they began to wait. */
  const waiting = new Map<string, Set<Waiting>>()
  /** The same jobs in the order in which it is their turn. */
  const inTurn = new Set<string>()
  let window = fewest
  let stop: AbortController | undefined

  function add(id: string, one: Waiting): void {
    const others = waiting.get(id)
    if (others) others.add(one)
    else {
      waiting.set(id, new Set([one]))
      inTurn.add(id)
    }
    if (!stop) start()
  }

  function start(): void {
    const stopping = (stop = new AbortController())
    void outside(() => watch(stopping))
  }

  function remove(id: string, one: Waiting): void {
    const others = waiting.get(id)
    if (!others?.delete(one) || others.size > 0) return
    forget(id)
  }
  function forget(id: string): void {
    waiting.delete(id)
    inTurn.delete(id)
    // The loop below must not hold its connection for a wait that is over.
    if (waiting.size === 0) stop?.abort()
  }

  /** Until nobody waits any more. */
  async function watch(stopping: AbortController): Promise<void> {
    const { signal } = stopping
    const listening = bell.listen(signal)
    let allAtMs = clock.monotonicMs() + followEveryMs
    while (!signal.aborted) {
      await listening.rung(Math.max(0, allAtMs - clock.monotonicMs()))
      const sinceMs = clock.monotonicMs()
      const all = sinceMs >= allAtMs
      if (all) allAtMs = sinceMs + followEveryMs
      try {
        for (let many = await look(all); many;) many = await look(false)
      } catch (error) {
        for (const [id, those] of waiting) {
          forget(id)
          for (const { tell } of those) tell(toError(error))
        }
      }
      const restMs = Math.min(followEveryMs, (clock.monotonicMs() - sinceMs) * (share - 1))
      if (restMs > 0) await clock.sleep(restMs, signal)
    }
    if (stop === stopping) stop = undefined
    if (waiting.size > 0 && !stop) start()
  }

  /** True when so many had ended that it is worth looking again at once. */
  async function look(all: boolean): Promise<boolean> {
    const ids = [...(all ? waiting.keys() : next())]
    let ended = 0
    for (let from = 0; from < ids.length; from += batchItems) {
      const part = ids.slice(from, from + batchItems)
      const goOn = new Set(await log.unfinished(part))
      for (const id of part) {
        if (goOn.has(id)) continue
        ended += 1
        const those = waiting.get(id)
        if (!those) continue
        forget(id)
        for (const { tell } of those) tell()
      }
    }
    const many = ended * 2 >= ids.length && ended > 0
    window = many ? Math.min(window * 2, Math.max(fewest, batchItems / 2)) : fewest
    return many && waiting.size > 0
  }

  function next(): Set<string> {
    const turn = first(inTurn, window)
    for (const id of turn) {
      inTurn.delete(id)
      inTurn.add(id)
    }
    return new Set([...first(waiting.keys(), window), ...turn])
  }

  return {
    ended(id, signal) {
      return new Promise((resolve, reject) => {
        const one: Waiting = {
          tell(error) {
            signal.removeEventListener('abort', leave)
            if (error === undefined) resolve()
            else reject(error)
          },
        }
        const leave = (): void => {
          remove(id, one)
          one.tell()
        }
        if (signal.aborted) return resolve()
        signal.addEventListener('abort', leave, { once: true })
        add(id, one)
      })
    },
  }
}

function first(ids: Iterable<string>, count: number): readonly string[] {
  const found: string[] = []
  for (const id of ids) {
    if (found.length === count) break
    found.push(id)
  }
  return found
}
