/** What a process does with jobs, as it happens: for tracing and metrics. */
export type { ChannelName, Contexts } from './telemetry/channels.ts'
export type {
  ClaimContext,
  DispatchContext,
  PublishContext,
  RunContext,
  RunOutcome,
  SettleContext,
  SweepContext,
} from './telemetry/contexts.ts'
export { observe } from './telemetry/observe.ts'
export type { Observer, Observers } from './telemetry/observe.ts'
