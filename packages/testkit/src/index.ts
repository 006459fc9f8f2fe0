export { describeDriver } from './driver/describe.ts'
export type { DriverHarness, DriverTestCapabilities, DriverUnderTest } from './driver/harness.ts'
export { describeJobLog, jobLogTopics } from './job-log/describe.ts'
export type { DescribeJobLogOptions, JobLogTopic } from './job-log/describe.ts'
export type { JobLogHarness, LogCapabilities, LogUnderTest, OpenTransaction } from './job-log/harness.ts'
export {
  encoded,
  failure,
  newJob,
  newTicket,
  outcomes,
  quietLogger,
  recorded,
  settlement,
  workerRef,
} from './fixtures.ts'
export { checkHistory, describeViolations } from './history/check.ts'
export { checkProcesses } from './history/processes.ts'
export { readDispatched, readFlows, readHistory, readNeeds } from './history/read.ts'
export type {
  DispatchedJob,
  DispatchedTick,
  FlowToCheck,
  HistoryToCheck,
  Invariant,
  LedgerLine,
  NeedToCheck,
  ProcessRecord,
  ProcessViolation,
  Recovery,
  Violation,
} from './history/types.ts'
export { steppedClock } from './stepped-clock.ts'
export type { SteppedClock } from './stepped-clock.ts'
export { scaleLimit } from './slowness.ts'
export { eventually, until } from './until.ts'
export type { UntilOptions } from './until.ts'
export { startFaultProxy } from './fault-proxy.ts'
export type { Direction, FaultProxy, Target } from './fault-proxy.ts'
export { describeLifecycleModel, modelOfLifecycle } from './model/describe.ts'
export type { LifecycleModelOptions } from './model/describe.ts'
export { checkLogLines, checkOutput } from './log-lines.ts'
