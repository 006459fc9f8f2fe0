import { describe } from 'vitest'
import { describeJobLog, jobLogTopics } from '@errand/testkit'
import type { JobLogTopic } from '@errand/testkit'
import { harness } from './harness.ts'
import { url } from './stage.ts'

/** Topics whose rules are not written in SQL yet. */
const later: readonly JobLogTopic[] = []

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeJobLog('postgres', harness, { topics: jobLogTopics.filter((topic) => !later.includes(topic)) })
})
