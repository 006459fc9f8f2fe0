/** For applications. Authors of drivers and job logs import `@errand/core/ports`, tests `@errand/core/testing`. */
export { createErrand } from './errand.ts'
export type { Errand } from './errand.ts'

export { defineConfig } from './define/config.ts'
export type { Config } from './define/config.ts'
export { batch, chain, flow } from './define/flow.ts'
export type { FlowBuilder, FlowOptions, FlowRequest, InnerFlowOptions, MemberOptions } from './define/flow.ts'
export { handle } from './define/handler.ts'
export type {
  Context,
  ContextFlow,
  ContextLimit,
  HandleOptions,
  Handler,
  JobHandler,
  Maybe,
  Middleware,
  Outcome,
} from './define/handler.ts'
export type { AttemptInfo, Ended, FailedInfo, Hooks } from './define/hooks.ts'
export { defineJob } from './define/job.ts'
export type {
  AnyJob,
  JobDefinition,
  JobOptions,
  JobPolicy,
  JobRequest,
  OptionsWithNeeds,
  ResultOf,
} from './define/job.ts'
export { ended, many } from './define/need.ts'
export type {
  Needed,
  EndedNeed,
  Many,
  ManyRef,
  NeedEnd,
  NeedReaders,
  NeedRefs,
  Needs,
  NoNeeds,
  Ref,
} from './define/need.ts'
export { defineLimit } from './define/limit.ts'
export type { LimitDefinition, LimitOptions, RateOptions } from './define/limit.ts'
export { defineMessage } from './define/message.ts'
export type { MessageDefinition } from './define/message.ts'
export { defineSchedule } from './define/schedule.ts'
export type { ScheduleDefinition, ScheduleOptions, Tick, TickOptions } from './define/schedule.ts'
export type {
  Call,
  CalledOf,
  CallFlowOptions,
  CallOptions,
  Receive,
  RunStep,
  Sleep,
  Step,
  StepOptions,
} from './define/step.ts'
export type { JobView } from './define/view.ts'
export { defineWorker } from './define/worker.ts'
export type { Worker, WorkerDefinition, WorkerHealth, WorkerSource, WorkOptions } from './define/worker.ts'

export type {
  ChildFlowOptions,
  ChildOptions,
  Dispatch,
  DispatchArgs,
  DispatchFlowOptions,
  DispatchOptions,
  FlowReceipt,
  Receipt,
  ReceiptOf,
} from './dispatch/request.ts'
export type { Duration } from './duration.ts'
export { ErrandError, errorCodes, isErrandError, PermanentError } from './errors.ts'
export type { ErrorCode, ErrorDetails } from './errors.ts'
export { describeFailure } from './failure/failure.ts'
export type { Failure, FailureField } from './failure/failure.ts'
export type { OnCrash, OnFailure } from './job/job.ts'
export { lanes } from './job/lane.ts'
export type { Lane } from './job/lane.ts'
export type { FailureCause } from './job/outcome.ts'
export { releaseReasons } from './job/release.ts'
export type { ReleaseReason } from './job/release.ts'
export { eventTypes, finalStates, isFinal, jobStates } from './job/state.ts'
export type { EventType, FinalState, JobState, StoredState } from './job/state.ts'
export type { Logger } from './logging.ts'

export type { DoctorOptions, DoctorReport } from './doctor/doctor.ts'
export type { Events, FollowOptions } from './operate/events.ts'
export type { Filter } from './operate/filter.ts'
export type { Finding } from './doctor/finding.ts'
export type { Unreadable } from './operate/decode.ts'
export type { JobDetails } from './operate/job-details.ts'
export type { JobMemory, MessageDetails, StepDetails, WaitDetails } from './operate/job-memory.ts'
export type { SendOptions, SendReceipt } from './operate/send.ts'
export type { EventBase, JobEvent } from './operate/job-event.ts'
export type { FlowCounts, FlowState } from './job/flow.ts'
export type { FlowInfo } from './operate/flow-info.ts'
export type { FlowMemberInfo, Flows } from './operate/flows.ts'
export type { Listing } from './operate/listing.ts'
export type { NeedInfo } from './operate/need-info.ts'
export type { JobEdit } from './operate/job-edit.ts'
export type { Batched, BlockedKey, By, JobList, Jobs } from './operate/jobs.ts'
export type {
  ClosedInfo,
  LimitChanges,
  LimitInfo,
  LimitJobs,
  LimitKeyInfo,
  Limits,
  RateInfo,
} from './operate/limits.ts'
export type { LimitAct } from './limit/body.ts'
export type { QueueInfo, Queues } from './operate/queues.ts'
export type { QueueLimit, WaitingState } from './ports/operations.ts'
export type { Repair } from './doctor/repair.ts'
export type { ResultOptions } from './operate/result.ts'
export type { ScheduleInfo, Schedules, SetBy, SetSchedule } from './operate/schedules.ts'
export type { ScheduleTimes } from './schedule/times.ts'
export type { Overlap } from './schedule/body.ts'
export type { Missed } from './schedule/due-tick.ts'
export type { TransferOptions, Transfers, TransferStatus } from './transfer/transfer.ts'
export type { WorkerInfo, Workers } from './operate/workers.ts'

export type { DriverFactory } from './ports/driver.ts'
export type { LeftQueue } from './transfer/drain.ts'
export type { LogFactory, LogRoles, MigrationReport } from './ports/job-log.ts'
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
export { exponential, fixed, linear, list } from './retry/backoff.ts'
export type { Backoff, ExponentialOptions } from './retry/backoff.ts'
