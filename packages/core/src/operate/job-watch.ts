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
  /** It goes on, and this is the version of its newest event. */
  | { readonly kind: 'moved'; readonly version: number }
  /** It has ended, or nobody knows it. */
  | { readonly kind: 'ended' }
  /** As `ended`, and this is its result. */
  | { readonly kind: 'succeeded'; readonly result: Encoded | undefined }

/** A waiter for news of one job. It is called once, for either; to hear more it must be added again. */
export interface Waiting {
  /** Waits for an event of a later version as well as for the end, unless it is infinite. */
  readonly past: number
  tell(news: JobNews): void
  /** With what the log throws. */
  fail(error: Error): void
}

/** Tells waiters what happens to a job: its end, which may have been before, or its next event. */
export interface JobWatch {
  add(id: string, one: Waiting): void
  /** Tells it no more. */
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

/** Jobs that a look asks about: so many of those that wait the longest, of those that moved last, and of all in turn. */
const fewest = 50
/** The rest after a look, in times of what the look took. */
const rest = 4
/** The same where the look found nothing, and ends were heard of from a worker of this instance. */
const restWhereHeard = 20

const ended: JobNews = { kind: 'ended' }

/**
 * One look at the log serves all waiters of this process, and asks about a bounded number of jobs: n waiters that all ask
 * whenever anything happens would cost n². Jobs end about in the order of their dispatch, and soon after they have begun.
 * So each look asks about the jobs that wait the longest and those that moved last, and about the others in turn, all of
 * them once in a while. What a worker of this instance has recorded needs no look: the log has it by then.
 */
export function createJobWatch({ log, clock, wakeups, settings }: JobWatchDeps): JobWatch {
  const { batchItems, followEveryMs } = settings
  /** By job, in the order in which the waiters began to wait. */
  const waiting = new Map<string, Set<Waiting>>()
  /** Goes around in it. */
  let turn = waiting.keys()
  /** Those that went on lately: a job that has begun will end soon. The latest is the last. */
  const moved = new Set<string>()
  /** Jobs for which somebody has begun to wait, and has not asked yet. */
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
    // The loop below must not hold its connection for a wait that is over.
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

  /** Once for each who begins to wait, all of a moment together: nobody is woken for what happened before. */
  async function askFresh(): Promise<void> {
    asking = true
    while (fresh.length > 0) {
      // What is added in this tick goes together.
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

  /** Answers of how many jobs there was something to tell. */
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

  /** Until nobody waits any more. */
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

  /** `many`: there was so much to tell that it is worth looking again at once. */
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
