/** For authors of drivers and job logs. Applications import `@errand/core`. */
export { batcher } from './batching.ts'
export type { Batcher, BatcherOptions } from './batching.ts'
export { eachHost } from './config/hosts.ts'
export type { Claim, DropReason, Fence, QueueKey, RequestId, Verdict, WorkerRef } from './job/claim.ts'
export type { Cursor, EventData, EventRecord } from './job/events.ts'
export type { Debounce, NewJob, OnCrash, OnFailure, StoredJob, StoredPolicy } from './job/job.ts'
export { laneOfRank, laneRank, lanes } from './job/lane.ts'
export type { Lane } from './job/lane.ts'
export { LanePolicy, lowestLaneEvery } from './job/lane-policy.ts'
export type { FailureCause, Refused, Settled, SettledOutcome, Settlement } from './job/outcome.ts'
export {
  eventTypes,
  finalStates,
  isFinal,
  isLegal,
  jobStates,
  knownEventType,
  knownState,
  transitions,
} from './job/state.ts'
export type {
  EventType,
  FinalState,
  JobState,
  LiveState,
  StoredEventType,
  StoredState,
  Transition,
} from './job/state.ts'
export type { QueueName, Ticket } from './job/ticket.ts'
export { maskCredentials } from './masking.ts'
export type { Clock } from './ports/clock.ts'
export type { Belongs, Codec, Encoded } from './ports/codec.ts'
export type {
  CallOptions,
  Delivery,
  Driver,
  DriverCapabilities,
  DriverContext,
  DriverFactory,
  PublishReport,
  SubscribeOptions,
  Subscription,
  WorkerTrips,
} from './ports/driver.ts'
export type { History, JobFilter, JobRecord, Places, ReadOptions, Unfinished } from './ports/history.ts'
export type {
  Appended,
  AppendOptions,
  BeatReply,
  BeatReport,
  ClaimOptions,
  Debounced,
  ServedQueue,
  Expedited,
  ExpediteOptions,
  HeartbeatLog,
  JobLog,
  LogContext,
  LogFactory,
  LogInfo,
  LogRoles,
  LostForGood,
  MigrationReport,
  Progress,
  SettledAndTaken,
  SweepOptions,
  SweepReport,
  TakeOptions,
  Topic,
} from './ports/job-log.ts'
export type {
  Backlog,
  CancelReport,
  Diagnosis,
  JobChange,
  Note,
  Operations,
  PruneOptions,
  QueueRecord,
  ReplayReport,
  QueueLimit,
  WaitingState,
  WorkerRecord,
} from './ports/operations.ts'
export { mostWaitingCounted } from './ports/operations.ts'
export { mostAtLimitCounted } from './ports/limits.ts'
export type {
  Closing,
  LimitChange,
  LimitCounts,
  LimitKeyRecord,
  LimitKeysWanted,
  LimitPlace,
  LimitRecord,
  Limits,
  LimitsSaved,
  LimitState,
  LimitTarget,
  LimitValues,
  Rate,
} from './ports/limits.ts'
export type { FlowFilter, FlowMember, FlowRecord, Flows, MemberEnd, NeedRecord } from './ports/flows.ts'
export type { Memory, Remembered, Sent } from './ports/memory.ts'
export type { FlowCounts, FlowState, NewFlow } from './job/flow.ts'
export { longestMemory, longestStepResult, mostSteps, mostUnread, mostWaits } from './job/memory.ts'
export type { NewMessage, NewStep, NewWait, StoredStep, UnreadMessage } from './job/memory.ts'
export { mostNeeds } from './job/need.ts'
export type { CancelCause, NeedMode, NewNeed } from './job/need.ts'
export type {
  KnownSchedules,
  ScheduleChange,
  ScheduleRecord,
  ScheduleSaved,
  Schedules,
  ScheduleState,
} from './ports/schedules.ts'
export type {
  DrizzleTx,
  KnexTx,
  KyselyTx,
  PgTx,
  PostgresJsTx,
  PrismaTx,
  SqliteTx,
  Transaction,
} from './ports/transaction.ts'
export type { DriverAddress, NewTransfer, Transfer } from './ports/transfer.ts'
export { durationMs } from './duration.ts'
export type { Duration } from './duration.ts'
export { ErrandError, errorCodes, isErrandError } from './errors.ts'
export type { ErrorCode } from './errors.ts'
export { describeFailure } from './failure/failure.ts'
export type { Failure } from './failure/failure.ts'
export { toFailure } from './failure/to-failure.ts'
export { releaseReasons } from './job/release.ts'
export type { ReleaseReason } from './job/release.ts'
export { loadDefaultLogger } from './default-logger.ts'
export type { Logger } from './logging.ts'
export { checkQueueName } from './names.ts'
export { checkOptions, checkParameters, didYouMean, parseFlag } from './options.ts'
export { systemClock } from './ports/system-clock.ts'
export { observedTake } from './telemetry/take.ts'
export { unlessAborted } from './unless-aborted.ts'
export { waitFor } from './wait.ts'
export { News } from './news.ts'
export { outside } from './outside.ts'
export { backoffMs } from './supervise.ts'
export { DamagedRow } from './engine/damaged-row.ts'
export { TopicBus } from './engine/topic-bus.ts'
export { freeText } from './text.ts'
export { threadModule } from './thread-module.ts'
