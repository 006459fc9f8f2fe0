import { channels } from './channels.ts'
import type { ChannelName, Contexts } from './channels.ts'

/** What is told of one operation: `start`, then `error` where it threw, then `end`. All three get the same context object. */
export interface Observer<Context> {
  start?(context: Context): void
  error?(context: Context): void
  end?(context: Context): void
}

export type Observers = { readonly [Name in ChannelName]?: Observer<Contexts[Name]> | undefined }

const events = { start: 'start', error: 'error', asyncEnd: 'end' } as const

/**
 * Observes what this process does with jobs, until the returned function is called. What an observer throws is a process
 * warning, once for each observer, and harms nothing; with `subscribe` of Node's own channel it would end the process.
 *
 * The channels are Node's tracing channels `errand:dispatch`, `errand:publish`, `errand:claim`, `errand:run`,
 * `errand:settle` and `errand:sweep`: to bind an AsyncLocalStorage for handlers, use `bindStore` of
 * `tracingChannel('errand:run').start`.
 * @example
 * const stop = observe({ run: { end: ({ claim, outcome }) => count(claim.job.name, outcome) } })
 */
export function observe(observers: Observers): () => void {
  const stops = (Object.keys(channels) as ChannelName[]).map((name) => subscribe(name, observers[name]))
  return () => {
    for (const stop of stops) stop()
  }
}

function subscribe<Name extends ChannelName>(
  name: Name,
  observer: Observer<Contexts[Name]> | undefined,
): () => void {
  if (!observer) return () => undefined
  let isSaid = false
  const safely = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      if (isSaid) return
      isSaid = true
      process.emitWarning(`an observer of errand:${name} threw: ${String(error)}`, {
        code: 'ERRAND_OBSERVER',
      })
    }
  }
  const stops = Object.entries(events).map(([event, told]) => {
    const channel = channels[name][event as keyof typeof events]
    const tell = (context: unknown): void => {
      safely(() => observer[told]?.(context as Contexts[Name]))
    }
    channel.subscribe(tell)
    return () => channel.unsubscribe(tell)
  })
  return () => {
    for (const stop of stops) stop()
  }
}
