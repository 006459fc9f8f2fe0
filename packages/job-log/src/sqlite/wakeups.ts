import type { DatabaseSync } from 'node:sqlite'
import { TopicBus } from '@errand/core/ports'
import type { Topic } from '@errand/core/ports'

const pollMs = 10

/**
 * Wake-ups across processes. `pragma data_version` changes on a connection when another one, of any process, has
 * committed; so it is read on a connection that never writes. It does not say what has changed: everybody looks.
 */
export class FileWakeups {
  readonly #open: () => DatabaseSync
  readonly #bus = new TopicBus()
  #watcher: DatabaseSync | undefined
  #timer: NodeJS.Timeout | undefined
  #listeners = 0
  #version: unknown

  constructor(open: () => DatabaseSync) {
    this.#open = open
  }

  notify(topics: readonly Topic[]): void {
    this.#bus.notify(topics)
  }

  async *listen(topics: readonly Topic[], signal: AbortSignal): AsyncGenerator<Topic | 'started', void> {
    this.#listeners += 1
    this.#start()
    try {
      yield* this.#bus.listen(topics, signal)
    } finally {
      this.#listeners -= 1
      if (this.#listeners === 0) this.close()
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#watcher?.close()
    this.#watcher = undefined
  }

  #start(): void {
    if (this.#timer) return
    const watcher = this.#open()
    this.#watcher = watcher
    const statement = watcher.prepare('pragma data_version')
    const read = (): unknown => statement.get()?.data_version
    this.#version = read()
    this.#timer = setInterval(() => {
      const version = read()
      if (version === this.#version) return
      this.#version = version
      this.#bus.notifyAll()
    }, pollMs)
    this.#timer.unref()
  }
}
