import { describe } from 'vitest'
import type { JobLogHarness } from './harness.ts'
import { describeAppend } from './topics/append.ts'
import { describeClaim } from './topics/claim.ts'
import { describeFence } from './topics/fence.ts'
import { describeOrderingKeys } from './topics/ordering-keys.ts'
import { describeRequests } from './topics/requests.ts'
import { describeSettle } from './topics/settle.ts'
import { describeTake } from './topics/take.ts'
import { describeUniqueKeys } from './topics/unique-keys.ts'

/** The topics of the suite. */
export type JobLogTopic =
  | 'append'
  | 'unique keys'
  | 'ordering keys'
  | 'claim'
  | 'take'
  | 'settle'
  | 'fence'
  | 'requests'

const topics: Readonly<Record<JobLogTopic, (harness: JobLogHarness) => void>> = {
  append: describeAppend,
  'unique keys': describeUniqueKeys,
  'ordering keys': describeOrderingKeys,
  claim: describeClaim,
  take: describeTake,
  settle: describeSettle,
  fence: describeFence,
  requests: describeRequests,
}

/** Their names, in the order in which they run. */
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
  describe(`job log ${name}`, () => {
    for (const topic of options.topics ?? jobLogTopics) topics[topic](harness)
  })
}
