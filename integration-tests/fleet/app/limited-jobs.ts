import { defineJob, defineLimit } from '@errand/core'
import type { JobDefinition, LimitOptions } from '@errand/core'
import { z } from 'zod'

interface Limited {
  readonly tenant: string
  readonly ms: number
}

/** The job of the tests of limits, in the words of its dispatcher. @param values JSON of the limit's options */
export function limitedJob(values: string): JobDefinition<Limited, Limited, undefined> {
  return defineJob({
    name: 'fleet.limited',
    queue: 'work',
    payload: z.object({ tenant: z.string(), ms: z.number() }),
    crashes: 10,
    limit: defineLimit({
      name: 'api',
      key: ({ tenant }: { tenant: string }) => tenant,
      ...(JSON.parse(values) as LimitOptions),
    }),
  })
}
