/** For authors of job logs: the rules of the log, to run over a store of their own. */
export { engineLog, noTransactions } from './engine/job-log.ts'
export type { EngineHost, Rules } from './engine/job-log.ts'
export type { Call } from './engine/calls.ts'
export type {
  Contention,
  DueSchedule,
  FlowCount,
  FlowRow,
  HeldQueue,
  JobRow,
  JobStore,
  LimitKeyRow,
  LimitRow,
  LogFacts,
  MemberRow,
  NeedRow,
  NewEvent,
  QueueCounts,
  ScheduleRow,
  StoredEvent,
  Turns,
  UniqueRow,
  Work,
  WorkerRow,
} from './engine/store.ts'
export type { StepRow, StepTotals } from './engine/step-store.ts'
