import type { Topic } from '../ports/job-log.ts'

interface Listener {
  readonly topics: ReadonlySet<Topic>
  readonly pending: Set<Topic>
  wake: (() => void) | undefined
}

/** Wake-ups inside one process. It gathers topics that come while a listener is busy, each once. */
export class TopicBus {
  readonly #listeners = new Set<Listener>()

  notify(topics: Iterable<Topic>): void {
    for (const topic of topics) {
      for (const listener of this.#listeners) {
        if (!listener.topics.has(topic)) continue
        listener.pending.add(topic)
        listener.wake?.()
      }
    }
  }

  /** Every topic that has a listener, once. */
  notifyAll(): void {
    for (const listener of this.#listeners) this.notify(listener.topics)
  }

  async *listen(topics: readonly Topic[], signal: AbortSignal): AsyncGenerator<Topic | 'started', void> {
    const listener: Listener = { topics: new Set(topics), pending: new Set(), wake: undefined }
    const onAbort = (): void => listener.wake?.()
    this.#listeners.add(listener)
    signal.addEventListener('abort', onAbort)
    try {
      yield 'started'
      while (!signal.aborted) {
        if (listener.pending.size === 0) {
          await new Promise<void>((resolve) => {
            listener.wake = resolve
          })
          listener.wake = undefined
          continue
        }
        const batch = [...listener.pending]
        listener.pending.clear()
        for (const topic of batch) yield topic
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#listeners.delete(listener)
    }
  }
}
