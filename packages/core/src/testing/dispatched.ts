import { resolvedJob } from '../define/job.ts'
import type { AnyJob } from '../define/job.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import type { NewFlow } from '../job/flow.ts'
import type { NewJob } from '../job/job.ts'
import type { Lane } from '../job/lane.ts'
import { checkOptions } from '../options.ts'
import type { JobLog } from '../ports/job-log.ts'

/** A job that was dispatched, as a test looks at it. */
export interface Dispatched<In = unknown> {
  readonly id: string
  readonly name: string
  readonly payload: In
  readonly queue: string
  readonly lane: Lane
  /** Milliseconds after its dispatch. Missing: at once, or `at`. */
  readonly delayMs?: number
  readonly at?: Date
  /** The id of the flow that it is a member of. */
  readonly flow?: string
  /** The ids of what it needs. */
  readonly needs: readonly string[]
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
}

/** Only those that match everything given. */
export interface DispatchedWhere {
  readonly queue?: string | undefined
  readonly delay?: Duration | undefined
  /** The name of its flow, or the id. */
  readonly flow?: string | undefined
}

export interface DispatchedFlow {
  readonly id: string
  readonly name?: string
  /** The flow that it is a member of. */
  readonly flow?: string
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  /** The jobs that are members of it, needed ones first. */
  readonly jobs: readonly Dispatched[]
}

/** What was appended to a log. */
export class Recorded {
  readonly #jobs: NewJob[] = []
  readonly #flows: NewFlow[] = []

  /** The log, which also keeps what it is given. */
  keepFrom(log: JobLog): JobLog {
    const append: JobLog['append'] = async (jobs, options) => {
      const appended = await log.append(jobs, options)
      const added = jobs.filter((_, index) => appended[index]?.status === 'added')
      this.#jobs.push(...added)
      if (added.length > 0 || jobs.length === 0) this.#flows.push(...(options?.flows ?? []))
      return appended
    }
    return { ...log, append }
  }

  /** @throws `E_OPTION`, `E_DURATION` */
  jobs(job: AnyJob | undefined, where: DispatchedWhere = {}): readonly Dispatched[] {
    checkOptions('dispatched()', where, ['queue', 'delay', 'flow'])
    const { queue, flow } = where
    const name = job && resolvedJob(job).name
    const delayMs = where.delay === undefined ? undefined : durationMs(where.delay, 'delay')
    const ids = new Set(
      this.#flows.filter((each) => each.id === flow || each.name === flow).map(({ id }) => id),
    )
    return this.#jobs
      .map(toDispatched)
      .filter(
        (each) =>
          (name === undefined || each.name === name) &&
          (queue === undefined || each.queue === queue) &&
          (delayMs === undefined || each.delayMs === delayMs) &&
          (flow === undefined || (each.flow !== undefined && ids.has(each.flow))),
      )
  }

  flows(name: string | undefined): readonly DispatchedFlow[] {
    return this.#flows
      .filter((each) => name === undefined || each.name === name)
      .map(({ id, name: its, flow, tags, meta }) => ({
        id,
        ...(its === undefined ? {} : { name: its }),
        ...(flow === undefined ? {} : { flow }),
        tags,
        meta,
        jobs: this.#jobs.filter((job) => job.flow === id).map(toDispatched),
      }))
  }
}

function toDispatched(job: NewJob): Dispatched {
  const { id, name, payload, queue, lane, due, flow, needs = [], tags, meta } = job
  return {
    id,
    name,
    payload: JSON.parse(payload.text) as unknown,
    queue,
    lane,
    ...(due && 'delayMs' in due ? { delayMs: due.delayMs } : {}),
    ...(due && 'at' in due ? { at: new Date(due.at) } : {}),
    ...(flow === undefined ? {} : { flow }),
    needs: needs.map(({ on }) => on),
    tags,
    meta,
  }
}
