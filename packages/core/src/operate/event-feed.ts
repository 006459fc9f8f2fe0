import type { Settings } from '../config/defaults.ts'
import type { Maybe } from '../define/handler.ts'
import type { Cursor, EventRecord } from '../job/events.ts'
import { outside } from '../outside.ts'
import type { Clock } from '../ports/clock.ts'
import type { Codec } from '../ports/codec.ts'
import type { Places, ReadOptions } from '../ports/history.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { EventWakeups } from './event-wakeups.ts'
import { jobEvent } from './job-event.ts'
import type { JobEvent } from './job-event.ts'
import { WakeupListener } from './wakeup-listener.ts'

/** Which events a follower asks for: all, those of a queue, of a tag, or of both. */
type Concern = Pick<ReadOptions, 'queue' | 'tag'>

/** Events for those who follow all of them, a queue or a tag. */
export interface EventFeed {
  /** Follows until the signal aborts. */
  follow(concern: Concern, after: Cursor | undefined, signal: AbortSignal): Follower
}

export interface EventFeedDeps {
  readonly log: Pick<JobLog, 'read' | 'places'>
  readonly clock: Clock
  readonly wakeups: EventWakeups
  readonly settings: Pick<Settings, 'followEveryMs'>
}

/** Up to this many followers with a filter read for themselves: reading all events for them would cost more. */
const few = 16
const pageSize = 500
/** A follower that has so many events before it leaves the reader, and reads for itself. */
const mostQueued = 4 * pageSize

/** An event that is decoded once for all who follow it. */
class FeedEvent {
  readonly record: EventRecord
  #decoded: Maybe<JobEvent> | undefined

  constructor(record: EventRecord) {
    this.record = record
  }

  decode(codec: Codec): Maybe<JobEvent> {
    return (this.#decoded ??= jobEvent(this.record, codec))
  }

  at(cursor: Cursor): FeedEvent {
    return cursor === this.record.cursor ? this : new FeedEvent({ ...this.record, cursor })
  }
}

/** What a read has brought. */
class Page {
  readonly from: Cursor | undefined
  readonly next: Cursor
  readonly #events: readonly FeedEvent[]
  #byQueue: Map<string, FeedEvent[]> | undefined
  #byTag: Map<string, FeedEvent[]> | undefined

  constructor(from: Cursor | undefined, { events, next }: Awaited<ReturnType<JobLog['read']>>) {
    this.from = from
    this.next = next
    this.#events = events.map((record) => new FeedEvent(record))
  }

  get isFull(): boolean {
    return this.#events.length === pageSize
  }

  /** Sorted once for all followers: n of them that each look through the page would cost n times as much. */
  pick({ queue, tag }: Concern): readonly FeedEvent[] {
    if (tag !== undefined) {
      this.#byTag ??= group(this.#events, ({ tags }) => tags)
      const tagged = this.#byTag.get(tag) ?? []
      return queue === undefined ? tagged : tagged.filter(({ record }) => record.queue === queue)
    }
    if (queue === undefined) return this.#events
    this.#byQueue ??= group(this.#events, (record) => [record.queue])
    return this.#byQueue.get(queue) ?? []
  }
}

function group(
  events: readonly FeedEvent[],
  listKeys: (record: EventRecord) => readonly string[],
): Map<string, FeedEvent[]> {
  const groups = new Map<string, FeedEvent[]>()
  for (const event of events) {
    for (const key of listKeys(event.record)) {
      const others = groups.get(key)
      if (others) others.push(event)
      else groups.set(key, [event])
    }
  }
  return groups
}

/** One who follows. It reads for itself until it has caught up with the log, and may then join the shared reader. */
class Follower {
  /** Whether the shared reader reads for it. */
  isMember = false
  /** After all that it was given. */
  cursor: Cursor | undefined
  readonly concern: Concern
  readonly #log: EventFeedDeps['log']
  readonly #signal: AbortSignal
  readonly #listener: WakeupListener
  readonly #caughtUp: (one: Follower) => void
  readonly #queue: (readonly FeedEvent[])[] = []
  #queued = 0
  #mayHaveMore = true

  constructor(
    concern: Concern,
    after: Cursor | undefined,
    signal: AbortSignal,
    { log, clock }: EventFeedDeps,
    caughtUp: (one: Follower) => void,
  ) {
    this.concern = concern
    this.cursor = after
    this.#log = log
    this.#signal = signal
    this.#listener = new WakeupListener(clock, signal)
    this.#caughtUp = caughtUp
  }

  /** The next events, at least one. Undefined when the signal has aborted. Rejects as `read` of the log does. */
  async next(): Promise<readonly FeedEvent[] | undefined> {
    while (!this.#signal.aborted) {
      const events = this.#shift() ?? (this.isMember || !this.#mayHaveMore ? [] : await this.#read())
      if (events.length > 0) return events
      if (this.#queue.length === 0 && (this.isMember || !this.#mayHaveMore)) await this.#listener.woken()
      if (!this.isMember) this.#mayHaveMore = true
    }
    return undefined
  }

  wake(): void {
    this.#listener.wake()
  }

  /** Takes its part of a page. If that is too much, or nobody knows which part it is, it leaves. */
  take(page: Page, places: Places): void {
    try {
      const { cursor } = this
      const picked = page.pick(this.concern)
      const isInStep = cursor === undefined || cursor === page.from
      const events = isInStep ? picked : pickAfter(picked, cursor, places)
      if (this.#queued + events.length > mostQueued) return this.leave()
      this.cursor = isInStep ? page.next : places.advance(cursor, page.next)
      if (events.length === 0) return
      this.#queue.push(events)
      this.#queued += events.length
      this.wake()
    } catch {
      this.leave()
    }
  }

  /** It reads for itself from where it is. */
  leave(): void {
    this.isMember = false
    this.#mayHaveMore = true
    this.wake()
  }

  #shift(): readonly FeedEvent[] | undefined {
    const events = this.#queue.shift()
    this.#queued -= events?.length ?? 0
    return events
  }

  async #read(): Promise<readonly FeedEvent[]> {
    const { events, next } = await this.#log.read({ ...this.concern, after: this.cursor, limit: pageSize })
    this.cursor = next
    this.#mayHaveMore = events.length === pageSize
    if (!this.#mayHaveMore) this.#caughtUp(this)
    return events.map((record) => new FeedEvent(record))
  }
}

function pickAfter(events: readonly FeedEvent[], cursor: Cursor, places: Places): FeedEvent[] {
  return events
    .filter(({ record }) => places.isAfter(cursor, record.cursor))
    .map((event) => event.at(places.advance(cursor, event.record.cursor)))
}

/**
 * One reader of the log's events for all followers in this process: n that each read would cost n times as much. It reads
 * after the earliest of their cursors, and the log tells for each which of the events are new to it. So a follower
 * depends on nothing but its own cursor. It may join and leave at any time, and misses and repeats nothing.
 */
export function createEventFeed(deps: EventFeedDeps): EventFeed {
  const { log, wakeups, settings } = deps
  const followers = new Set<Follower>()
  let unfiltered = 0
  let stop: AbortController | undefined
  let listening: WakeupListener | undefined

  const isShared = (): boolean => log.places !== undefined && (unfiltered > 0 || followers.size > few)
  const listMembers = (): Follower[] => [...followers].filter(({ isMember }) => isMember)

  function start(): void {
    stop = new AbortController()
    const { signal } = stop
    void outside(() => hear(signal))
  }

  async function hear(signal: AbortSignal): Promise<void> {
    const own = (listening = wakeups.listen(signal))
    while (!signal.aborted) {
      await own.woken(settings.followEveryMs)
      for (const follower of followers) if (!follower.isMember) follower.wake()
      try {
        if (log.places && isShared()) await readOn(log.places)
        else for (const member of listMembers()) member.leave()
      } catch {
        // All read for themselves now: each gets the same error, or goes on.
        for (const member of listMembers()) member.leave()
      }
    }
  }

  async function readOn(places: Places): Promise<void> {
    for (;;) {
      const members = listMembers()
      const cursors = [...new Set(members.flatMap(({ cursor }) => cursor ?? []))]
      if (cursors.length === 0) return
      const from = cursors.length === 1 ? cursors[0] : places.earliest(cursors)
      const page = new Page(from, await log.read({ after: from, limit: pageSize }))
      // Those who came meanwhile may be before this page.
      for (const member of members) if (member.isMember) member.take(page, places)
      if (!page.isFull) return
    }
  }

  function join(follower: Follower): void {
    if (!followers.has(follower) || !isShared()) return
    follower.isMember = true
    // Something may have happened between its read and the next one.
    listening?.wake()
  }

  function isUnfiltered({ queue, tag }: Concern): boolean {
    return queue === undefined && tag === undefined
  }

  return {
    follow(concern, after, signal) {
      const follower = new Follower(concern, after, signal, deps, join)
      if (signal.aborted) return follower
      followers.add(follower)
      if (isUnfiltered(concern)) unfiltered += 1
      if (followers.size === 1) start()
      const end = (): void => {
        followers.delete(follower)
        if (isUnfiltered(concern)) unfiltered -= 1
        if (followers.size === 0) stop?.abort()
        follower.leave()
      }
      signal.addEventListener('abort', end, { once: true })
      return follower
    },
  }
}
