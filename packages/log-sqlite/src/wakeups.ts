import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { TopicBus } from '@errand/core/ports'
import type { Topic } from '@errand/core/ports'

const pollMs = 10
/** How long to wait before looking again at a file that could not be read. */
const againMs = 1_000
const workerPrefix = 'worker:'

/** What a beat would tell a worker: a stop, jobs to cancel, paused queues. */
const news = `select
  (select stop from errand_workers where id = ?1) as stop,
  (select group_concat(id) from errand_jobs
    where worker = ?1 and state = 'running' and cancel_by is not null) as cancelled,
  (select group_concat(name) from errand_queues where paused_by is not null) as paused`

/**
 * Wake-ups across processes. `pragma data_version` changes on a connection when another connection, of any process, has
 * committed. So it is read on a connection that never writes. It does not say what has changed, so listeners to queues
 * and events look. A worker is woken only if there is news for it: it answers with a beat, which is a commit, and beats
 * that wake beats would never end.
 */
export class FileWakeups {
  readonly #open: () => DatabaseSync
  readonly #bus = new TopicBus()
  readonly #topics = new Map<Topic, number>()
  readonly #told = new Map<Topic, string>()
  #watcher: DatabaseSync | undefined
  #news: StatementSync | undefined
  #timer: NodeJS.Timeout | undefined
  #version: unknown

  constructor(open: () => DatabaseSync) {
    this.#open = open
  }

  notify(topics: readonly Topic[]): void {
    this.#bus.notify(topics)
  }

  async *listen(topics: readonly Topic[], signal: AbortSignal): AsyncGenerator<Topic | 'started', void> {
    for (const topic of topics) this.#topics.set(topic, (this.#topics.get(topic) ?? 0) + 1)
    this.#start()
    try {
      yield* this.#bus.listen(topics, signal)
    } finally {
      for (const topic of topics) this.#leave(topic)
      if (this.#topics.size === 0) this.close()
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#stopWatching()
  }

  #leave(topic: Topic): void {
    const listeners = (this.#topics.get(topic) ?? 1) - 1
    if (listeners > 0) {
      this.#topics.set(topic, listeners)
      return
    }
    this.#topics.delete(topic)
    this.#told.delete(topic)
  }

  #start(): void {
    if (this.#timer) return
    let read: (() => unknown) | undefined = this.#watch()
    this.#version = read()
    let restUntilMs = 0
    this.#timer = setInterval(() => {
      if (performance.now() < restUntilMs) return
      try {
        read ??= this.#watch()
        const version = read()
        if (version === this.#version) return
        this.#version = version
      } catch {
        // The disk has failed, or the file cannot be opened now: listeners poll until it can.
        read = undefined
        this.#stopWatching()
        restUntilMs = performance.now() + againMs
        return
      }
      this.#bus.notify([...this.#topics.keys()].filter((topic) => this.#concerns(topic)))
    }, pollMs)
    this.#timer.unref()
  }

  /** Returns a function that reads the version. */
  #watch(): () => unknown {
    const watcher = this.#open()
    this.#watcher = watcher
    const statement = watcher.prepare('pragma data_version')
    return () => statement.get()?.data_version
  }

  #stopWatching(): void {
    this.#news = undefined
    this.#watcher?.close()
    this.#watcher = undefined
  }

  #concerns(topic: Topic): boolean {
    const watcher = this.#watcher
    if (!watcher || !topic.startsWith(workerPrefix)) return true
    try {
      this.#news ??= watcher.prepare(news)
      const told = JSON.stringify(this.#news.get(topic.slice(workerPrefix.length)))
      if (told === this.#told.get(topic)) return false
      this.#told.set(topic, told)
      return true
    } catch {
      // It could not look (the file's lock, tables not created yet). One beat too many is better.
      return true
    }
  }
}
