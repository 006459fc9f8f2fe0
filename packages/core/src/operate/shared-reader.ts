import type { Settings } from '../config/defaults.ts'
import type { Cursor, EventRecord } from '../job/events.ts'
import { outside } from '../outside.ts'
import type { Clock } from '../ports/clock.ts'
import type { ReadOptions } from '../ports/history.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { EventWakeups, Listening } from './event-wakeups.ts'
import { WakeupListener } from './wakeup-listener.ts'

/** Which events concern a follower: those of a queue, of a tag, or of both. */
type Concern = Pick<ReadOptions, 'queue' | 'tag'>

/** Tells those who follow a queue or a tag when there may be events for them. */
export interface SharedReader {
  /** Listens until the signal aborts. A notified follower reads from its own cursor. */
  listen(concern: Concern, signal: AbortSignal): Listening
}

export interface SharedReaderDeps {
  readonly log: Pick<JobLog, 'end' | 'read'>
  readonly clock: Clock
  readonly wakeups: EventWakeups
  readonly settings: Pick<Settings, 'followEveryMs'>
}

/** Up to this many followers read for themselves after every wake-up: reading all events for them would cost more. */
const few = 16
const pageSize = 500
/**
 * A follower that is notified also looks by itself, after this many times the usual pause. A long transaction hides its
 * events until it commits, so the reader may have begun after them.
 */
const ownLooks = 10

interface Follower {
  readonly concern: Concern
  readonly listener: WakeupListener
}

/**
 * One reader of the log's events for all followers of a queue or a tag in this process, if they are many: n followers that
 * each read whenever anything happens would cost n². It only notifies. Each follower sees what it reads itself.
 */
export function createSharedReader({ log, clock, wakeups, settings }: SharedReaderDeps): SharedReader {
  const { followEveryMs } = settings
  const followers = new Set<Follower>()
  /** Followers by their tag, and those without a tag by their queue. */
  const byTag = new Map<string, Set<Follower>>()
  const byQueue = new Map<string, Set<Follower>>()
  /** The reader's position; undefined while each follower reads for itself. */
  let place: Cursor | undefined
  let stop: AbortController | undefined

  function start(): void {
    stop = new AbortController()
    const { signal } = stop
    void outside(() => hear(signal))
  }

  async function hear(signal: AbortSignal): Promise<void> {
    const listening = wakeups.listen(signal)
    while (!signal.aborted) {
      await listening.woken(followEveryMs)
      try {
        if (place === undefined || followers.size <= few) await beginAnew()
        else place = await readOn(place)
      } catch {
        // All followers read now: each gets the same error, or goes on.
        place = undefined
        tellAll()
      }
    }
  }

  async function beginAnew(): Promise<void> {
    place = undefined
    if (followers.size > few) place = await log.end()
    tellAll()
  }

  async function readOn(from: Cursor): Promise<Cursor> {
    for (let after = from; ;) {
      const { events, next } = await log.read({ after, limit: pageSize })
      for (const event of events) tell(event)
      if (events.length < pageSize) return next
      after = next
    }
  }

  function tell({ queue, tags }: EventRecord): void {
    for (const { listener } of byQueue.get(queue) ?? []) listener.wake()
    for (const tag of tags)
      for (const { concern, listener } of byTag.get(tag) ?? [])
        if (concern.queue === undefined || concern.queue === queue) listener.wake()
  }

  function tellAll(): void {
    for (const { listener } of followers) listener.wake()
  }

  function choosePlaces({ queue, tag }: Concern): readonly [Map<string, Set<Follower>>, string] {
    return tag === undefined ? [byQueue, queue ?? ''] : [byTag, tag]
  }

  function add(one: Follower): void {
    followers.add(one)
    const [index, key] = choosePlaces(one.concern)
    const others = index.get(key)
    if (others) others.add(one)
    else index.set(key, new Set([one]))
    if (followers.size === 1) start()
  }

  function remove(one: Follower): void {
    followers.delete(one)
    const [index, key] = choosePlaces(one.concern)
    const others = index.get(key)
    others?.delete(one)
    if (others?.size === 0) index.delete(key)
    if (followers.size === 0) {
      place = undefined
      stop?.abort()
    }
    one.listener.wake()
  }

  return {
    listen(concern, signal) {
      const listener = new WakeupListener(clock, signal)
      const one: Follower = { concern, listener }
      if (signal.aborted) listener.wake()
      else {
        add(one)
        signal.addEventListener('abort', () => remove(one), { once: true })
      }
      return { woken: (atMostMs) => listener.woken(place === undefined ? atMostMs : atMostMs * ownLooks) }
    },
  }
}
