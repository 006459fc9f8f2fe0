import { tracingChannel } from 'node:diagnostics_channel'
import type { TracingChannel } from 'node:diagnostics_channel'
import type {
  ClaimContext,
  DispatchContext,
  PublishContext,
  RunContext,
  SettleContext,
  SweepContext,
} from './contexts.ts'

export interface Contexts {
  readonly dispatch: DispatchContext
  readonly publish: PublishContext
  readonly claim: ClaimContext
  readonly run: RunContext
  readonly settle: SettleContext
  readonly sweep: SweepContext
}

export type ChannelName = keyof Contexts

type Channel<Context extends object> = TracingChannel<unknown, Context>

/** Node's tracing channels, by the name behind `errand:`. */
export const channels: { readonly [Name in ChannelName]: Channel<Contexts[Name]> } = {
  dispatch: tracingChannel('errand:dispatch'),
  publish: tracingChannel('errand:publish'),
  claim: tracingChannel('errand:claim'),
  run: tracingChannel('errand:run'),
  settle: tracingChannel('errand:settle'),
  sweep: tracingChannel('errand:sweep'),
}

/**
 * Does the work, and tells the channel of its start and end. `work` gets the context, to add what is known at the end.
 * Callers look at `isObserved` first: where nobody observes, no context is made.
 */
export async function trace<Name extends ChannelName, T>(
  name: Name,
  context: Contexts[Name],
  work: (context: Contexts[Name]) => T | Promise<T>,
): Promise<T> {
  let result: T | undefined
  // Node would show the result as `context.result`, and call a thenable's `then` a second time: it gets neither.
  await channels[name].tracePromise(async () => {
    result = await work(context)
  }, context)
  return result as T
}

export function isObserved(name: ChannelName): boolean {
  return channels[name].hasSubscribers
}
