// The history checker alone. It is pure and needs no test runner, for checks outside of tests.
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
