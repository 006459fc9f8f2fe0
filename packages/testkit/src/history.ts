// The history checker alone: pure, and without the test runner, for whoever checks a log outside of a test.
export { checkHistory, describeViolations } from './history/check.ts'
export { checkProcesses } from './history/processes.ts'
export { readDispatched, readHistory } from './history/read.ts'
export type {
  DispatchedJob,
  HistoryToCheck,
  Invariant,
  LedgerLine,
  ProcessRecord,
  ProcessViolation,
  Recovery,
  Violation,
} from './history/types.ts'
