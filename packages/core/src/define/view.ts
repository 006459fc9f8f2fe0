import type { StoredJob } from '../job/job.ts'
import type { Lane } from '../job/lane.ts'
import { splitMeta } from '../schedule/tick-meta.ts'
import type { Tick } from './schedule.ts'

/** A job as handlers, hooks and operators see it. */
export interface JobView {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly lane: Lane
  readonly tags: readonly string[]
  readonly orderingKey: string | undefined
  /** Trace, tenant, locale: passed on to children. */
  readonly meta: Readonly<Record<string, string>>
  readonly dispatchedAt: Date
  /** If a schedule dispatched it. */
  readonly tick?: Tick | undefined
  /** As it was dispatched (the schema's input). */
  readonly payload: unknown
}

/** @param payload is the decoded payload of the stored job. */
export function jobView(stored: StoredJob, payload: unknown): JobView {
  const { tick, meta } = splitMeta(stored.meta)
  return {
    id: stored.id,
    name: stored.name,
    queue: stored.queue,
    lane: stored.lane,
    tags: stored.tags,
    orderingKey: stored.orderingKey,
    meta,
    dispatchedAt: new Date(stored.dispatchedAt),
    ...(tick ? { tick } : {}),
    payload,
  }
}
