import { describe } from 'vitest'
import type { JobLogHarness } from './harness.ts'
import { describeAppend } from './topics/append.ts'
import { describeBeat } from './topics/beat.ts'
import { describeCancel } from './topics/cancel.ts'
import { describeCalls } from './topics/calls.ts'
import { describeClaim } from './topics/claim.ts'
import { describeConcurrency } from './topics/concurrency.ts'
import { describeConnect } from './topics/connect.ts'
import { describeDamage } from './topics/damage.ts'
import { describeData } from './topics/data.ts'
import { describeDelays } from './topics/delays.ts'
import { describeExpedite } from './topics/expedite.ts'
import { describeFence } from './topics/fence.ts'
import { describeFlows } from './topics/flows.ts'
import { describeFollow } from './topics/follow.ts'
import { describeHistory } from './topics/history.ts'
import { describeLeases } from './topics/leases.ts'
import { describeLimitedQueues } from './topics/limited-queues.ts'
import { describeNeeds } from './topics/needs.ts'
import { describeMemory } from './topics/memory.ts'
import { describeMemoryTransactions } from './topics/memory-transactions.ts'
import { describeMessages } from './topics/messages.ts'
import { describeNewer } from './topics/newer.ts'
import { describeLimits } from './topics/limits.ts'
import { describeOnCrash } from './topics/on-crash.ts'
import { describeOperators } from './topics/operators.ts'
import { describeOrderingKeys } from './topics/ordering-keys.ts'
import { describeQueues } from './topics/queues.ts'
import { describeRequests } from './topics/requests.ts'
import { describeRetention } from './topics/retention.ts'
import { describeSchedules } from './topics/schedules.ts'
import { describeSettle } from './topics/settle.ts'
import { describeSettleAndTake } from './topics/settle-and-take.ts'
import { describeSuspended } from './topics/suspended.ts'
import { describeSweep } from './topics/sweep.ts'
import { describeTake } from './topics/take.ts'
import { describeTransactions } from './topics/transactions.ts'
import { describeTransfer } from './topics/transfer.ts'
import { describeTurns } from './topics/turns.ts'
import { describeUniqueKeys } from './topics/unique-keys.ts'
import { describeWakeups } from './topics/wakeups.ts'
import { hangsAfterMs } from '../slowness.ts'

/** The topics of the suite. */
export type JobLogTopic =
  | 'append'
  | 'unique keys'
  | 'ordering keys'
  | 'claim'
  | 'take'
  | 'turns'
  | 'settle'
  | 'settle and take'
  | 'fence'
  | 'requests'
  | 'beat'
  | 'leases'
  | 'on crash'
  | 'delays'
  | 'sweep'
  | 'expedite'
  | 'cancel'
  | 'operators'
  | 'queues'
  | 'limited queues'
  | 'transfer'
  | 'schedules'
  | 'limits'
  | 'needs'
  | 'flows'
  | 'memory'
  | 'memory in transactions'
  | 'suspended'
  | 'messages'
  | 'calls'
  | 'history'
  | 'follow'
  | 'retention'
  | 'wakeups'
  | 'data'
  | 'damage'
  | 'newer'
  | 'transactions'
  | 'concurrency'
  | 'connect'

const topics: Readonly<Record<JobLogTopic, (harness: JobLogHarness) => void>> = {
  append: describeAppend,
  'unique keys': describeUniqueKeys,
  'ordering keys': describeOrderingKeys,
  claim: describeClaim,
  take: describeTake,
  turns: describeTurns,
  settle: describeSettle,
  'settle and take': describeSettleAndTake,
  fence: describeFence,
  requests: describeRequests,
  beat: describeBeat,
  leases: describeLeases,
  'on crash': describeOnCrash,
  delays: describeDelays,
  sweep: describeSweep,
  expedite: describeExpedite,
  cancel: describeCancel,
  operators: describeOperators,
  queues: describeQueues,
  'limited queues': describeLimitedQueues,
  transfer: describeTransfer,
  schedules: describeSchedules,
  limits: describeLimits,
  needs: describeNeeds,
  flows: describeFlows,
  memory: describeMemory,
  'memory in transactions': describeMemoryTransactions,
  suspended: describeSuspended,
  messages: describeMessages,
  calls: describeCalls,
  history: describeHistory,
  follow: describeFollow,
  retention: describeRetention,
  wakeups: describeWakeups,
  data: describeData,
  damage: describeDamage,
  newer: describeNewer,
  transactions: describeTransactions,
  concurrency: describeConcurrency,
  connect: describeConnect,
}

/** The names of the topics, in the order in which they run. */
export const jobLogTopics: readonly JobLogTopic[] = Object.keys(topics) as JobLogTopic[]

export interface DescribeJobLogOptions {
  /** Only these topics, so that several test files can share a slow log's suite. Default: all. */
  readonly topics?: readonly JobLogTopic[] | undefined
}

/**
 * Every promise that a job log must keep, as tests. `docs/writing-a-job-log.md` has the rules behind them.
 * @example describeJobLog('my log', { create: () => openMyLog(), capabilities: { advance: false, transactions: 'none' } })
 */
export function describeJobLog(
  name: string,
  harness: JobLogHarness,
  options: DescribeJobLogOptions = {},
): void {
  // Longer than any wait on a condition, so that the condition is what a failure names.
  describe(`job log ${name}`, { timeout: hangsAfterMs }, () => {
    // A topic is a group, so that its log is closed after its last test, not after the suite's.
    for (const topic of options.topics ?? jobLogTopics) describe(topic, () => topics[topic](harness))
  })
}
