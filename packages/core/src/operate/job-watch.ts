import type { Settings } from '../config/defaults.ts'
import { toError } from '../errors.ts'
import type { Settled, Settlement } from '../job/outcome.ts'
import { isFinal } from '../job/state.ts'
import { outside } from '../outside.ts'
import type { Clock } from '../ports/clock.ts'
import type { Encoded } from '../ports/codec.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { EventWakeups } from './event-wakeups.ts'

/** What is known of a job. */
export type JobNews =
  /** It has not ended, and this is the version of its newest event. */
  | { readonly kind: 'moved'; readonly version: number }
  /** It has ended, or nobody knows it. */
  | { readonly kind: 'ended' }
  /** As `ended`, and this is its result. */
  | { readonly kind: 'succeeded'; readonly result: Encoded | undefined }

/** A waiter for news of one job. It is called once, with news or an error. To hear more it must be added again. */
export interface Waiting {
  /** Waits for an event of a later version as well as for the end, unless it is infinite. */
  readonly past: number
  tell(news: JobNews): void
  /** Called with what the log throws. */
  fail(error: Error): void
}

/** Tells waiters what happens to a job: its next event, or its end, which may already be past. */
export interface JobWatch {
  add(id: string, one: Waiting): void
  /** The waiter is told nothing more. */
  remove(id: string, one: Waiting): void
  /** A worker of this instance has recorded how a run ended, so waiters for that job here need not ask the log. */
  recorded(settlement: Settlement, settled: Settled): void
}

export interface JobWatchDeps {
  readonly log: Pick<JobLog, 'unfinished'>
  readonly clock: Clock
  readonly wakeups: EventWakeups
  readonly settings: Pick<Settings, 'batchItems' | 'followEveryMs'>
}

/** A look asks at least about this many of the jobs that wait the longest, of those that moved last, and of all in turn. */
const fewest = 50
/** The pause after a look, as a multiple of the look's own time. */
const rest = 4
/** The same if the look found nothing, and a worker of this instance has reported ends. */
const restWhereHeard = 20

const ended: JobNews = { kind: 'ended' }

/**
 * One look at the log serves all waiters of this process, and asks about a bounded number of jobs: n waiters that all ask
 * whenever anything happens would cost n². Jobs end about in the order of their dispatch, and soon after they have begun.
 * So each look asks about the jobs that wait the longest, those that moved last, and some of the others in turn. An end that
 * a worker of this instance has recorded needs no look: the log has it by then.
 */
export function createJobWatch({ log, clock, wakeups, settings }: JobWatchDeps): JobWatch {
  const { batchItems, followEveryMs } = settings
  /** The waiters by job, in the order in which they began to wait. */
  const waiting = new Map<string, Set<Waiting>>()
  /** Goes through `waiting` in turn, again and again. */
  let turn = waiting.keys()
  /** Jobs that have moved lately: a job that has begun will end soon. The latest is the last. */
  const moved = new Set<string>()
  /** Jobs with a new waiter that the log has not been asked about yet. */
  let fresh: string[] = []
  let asking = false
  let window = fewest
  let heardHere = false
  let stop: AbortController | undefined

  function add(id: string, one: Waiting): void {
    const others = waiting.get(id)
    if (others) others.add(one)
    else waiting.set(id, new Set([one]))
    fresh.push(id)
    if (!asking) void outside(askFresh)
    if (!stop) start()
  }

  function start(): void {
    const stopping = (stop = new AbortController())
    void outside(() => watch(stopping))
  }

  function remove(id: string, one: Waiting): void {
    const those = waiting.get(id)
    if (!those?.delete(one) || those.size > 0) return
    waiting.delete(id)
    // The loop must not hold its connection once nobody waits.
    if (waiting.size === 0) stop?.abort()
  }

  function tell(id: string, news: JobNews): boolean {
    let told = false
    for (const one of waiting.get(id) ?? []) {
      if (news.kind === 'moved' && news.version <= one.past) continue
      told = true
      remove(id, one)
      one.tell(news)
    }
    if (told) noteMove(id, news)
    return told
  }

  function noteMove(id: string, { kind }: JobNews): void {
    moved.delete(id)
    if (kind !== 'moved') return
    moved.add(id)
    const [oldest] = moved
    if (moved.size > fewest && oldest !== undefined) moved.delete(oldest)
  }

  function fail(ids: Iterable<string>, error: unknown): void {
    for (const id of ids) {
      for (const one of waiting.get(id) ?? []) {
        remove(id, one)
        one.fail(toError(error))
      }
    }
  }

  /** Asks once for each new waiter, because no wake-up comes for what happened before. All of one moment go together. */
  async function askFresh(): Promise<void> {
    asking = true
    while (fresh.length > 0) {
      // Waiters that are added in this tick go together.
      await Promise.resolve()
      const ids = fresh.slice(0, batchItems)
      fresh = fresh.slice(batchItems)
      try {
        await ask(ids)
      } catch (error) {
        fail(ids, error)
      }
    }
    asking = false
  }

  /** Returns for how many jobs there was news. */
  async function ask(ids: readonly string[]): Promise<number> {
    const open = ids.filter((id) => waiting.has(id))
    if (open.length === 0) return 0
    const versions = new Map<string, number>()
    for (const { id, version } of await log.unfinished(open)) versions.set(id, version)
    let told = 0
    for (const id of open) {
      const version = versions.get(id)
      if (tell(id, version === undefined ? ended : { kind: 'moved', version })) told += 1
    }
    return told
  }

  /** Runs until nobody waits. */
  async function watch(stopping: AbortController): Promise<void> {
    const { signal } = stopping
    const listening = wakeups.listen(signal)
    let allAtMs = clock.monotonicMs() + followEveryMs
    while (!signal.aborted) {
      await listening.woken(Math.max(0, allAtMs - clock.monotonicMs()))
      const sinceMs = clock.monotonicMs()
      const all = sinceMs >= allAtMs
      if (all) allAtMs = sinceMs + followEveryMs
      const heard = heardHere
      heardHere = false
      let times = rest
      try {
        const { told, many } = await look(all)
        if (told === 0 && heard) times = restWhereHeard
        for (let more = many; more;) ({ many: more } = await look(false))
      } catch (error) {
        fail(waiting.keys(), error)
      }
      const restMs = Math.min(followEveryMs, (clock.monotonicMs() - sinceMs) * times)
      if (restMs > 0) await clock.sleep(restMs, signal)
    }
    if (stop === stopping) stop = undefined
    if (waiting.size > 0 && !stop) start()
  }

  /** `many`: there was so much news that it is worth looking again at once. */
  async function look(all: boolean): Promise<{ readonly told: number; readonly many: boolean }> {
    const ids = [...(all ? waiting.keys() : next())]
    let told = 0
    for (let from = 0; from < ids.length; from += batchItems) {
      told += await ask(ids.slice(from, from + batchItems))
    }
    const many = told * 2 >= ids.length && told > 0
    window = many ? Math.min(window * 2, Math.max(fewest, batchItems / 2)) : fewest
    return { told, many: many && waiting.size > 0 }
  }

  function next(): Set<string> {
    const ids = new Set([...first(waiting.keys(), window), ...moved].filter((id) => waiting.has(id)))
    for (let count = 0; count < Math.min(window, waiting.size); count += 1) {
      let { value } = turn.next()
      if (value === undefined) {
        turn = waiting.keys()
        ;({ value } = turn.next())
      }
      if (value !== undefined) ids.add(value)
    }
    return ids
  }

  return {
    add,
    remove,
    recorded({ id, outcome }, { result, event, state }) {
      if (waiting.size === 0 || !isFinal(state)) return
      const isOwn = result === 'settled' && event === 'succeeded' && outcome.kind === 'succeed'
      if (tell(id, isOwn ? { kind: 'succeeded', result: outcome.result } : ended)) heardHere = true
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
