import { setTimeout as pause } from 'node:timers/promises'
import * as build from 'errand'
import { createErrand, defineJob, defineWorker, handle } from 'errand'
import type { Config, Errand } from 'errand'
import type { Payload } from '../measure/payload.ts'
import type { Work } from '../measure/phases.ts'
import { finish } from './errand-backlog.ts'
import type { Place, Subject } from './subject.ts'

/** Payloads are not validated: no peer validates, and the cost of a schema library is not Errand's. */
const payload = {
  '~standard': {
    version: 1,
    vendor: 'bench',
    validate: (value: unknown) => ({ value: value as Payload }),
    types: undefined as { readonly input: Payload; readonly output: Payload } | undefined,
  },
} as const

const probe = defineJob({ name: 'bench.probe', queue: 'probe' })
const probeEveryMs = 50
const listed = 100

type BenchJob = ReturnType<typeof defineOne>

function defineOne(name: string, queue: string, { keys, limitKeys }: Work) {
  const order = keys > 0 ? { key: ({ index }: Payload) => `key ${index % keys}` } : undefined
  // Each of its keys has jobs that wait, and all of them together keep the worker busy.
  const limit =
    limitKeys > 0
      ? // An older build that it is compared with may have no limits.
        build.defineLimit({
          name: 'bench',
          key: ({ index }: Payload) => `key ${index % limitKeys}`,
          concurrency: { total: 200, perKey: 5 },
        })
      : undefined
  return defineJob({ name, queue, payload, ...(order ? { order } : {}), ...(limit ? { limit } : {}) })
}

/** A definition for each queue. */
function defineAll(work: Work): readonly [BenchJob, ...BenchJob[]] {
  const first = defineOne('bench.noop', 'bench', work)
  const others = Array.from({ length: work.queues - 1 }, (_, at) =>
    defineOne(`bench.noop${at}`, `bench${at}`, work),
  )
  return [first, ...others]
}

/** Errand as a user gets it: only the places of the log and the broker are set, and names of its own. */
export function errandSubject(config: Config, { work }: Place): Subject {
  const errand = createErrand(config)
  const jobs = defineAll(work)
  const jobFor = ({ index }: Payload): BenchJob => jobs[index % jobs.length] ?? jobs[0]
  return {
    prepare: async () => void (await errand.migrate()),
    enqueue1: (one) => errand.dispatch(jobFor(one), one),
    enqueueBulk: (many) => errand.dispatchMany(many.map((one) => jobFor(one).with(one))),
    work: async (started, concurrency) => {
      const handlers = jobs.map((job) => handle(job, (one) => started(one)))
      await errand.work(defineWorker({ concurrency, handlers }), { signals: false }).ready
    },
    backlog: (count) => finish(config, jobs[0], count),
    follow: (count, seen) => follow(errand, count, seen),
    lists: async () => {
      await errand.jobs.list({ state: 'ready', limit: listed })
      await errand.queues.list()
    },
    close: () => errand.close(),
  }
}

/** Starts followers. Each has begun when it sees a probe. */
async function follow(errand: Errand, count: number, seen: (least: number) => void): Promise<void> {
  const ends = Array.from({ length: count }, () => 0)
  const begun = new Set<number>()
  const one = async (at: number): Promise<void> => {
    for await (const { type, queue } of errand.events.follow()) {
      if (queue === 'probe') begun.add(at)
      else if (type === 'succeeded') {
        ends[at] = (ends[at] ?? 0) + 1
        seen(Math.min(...ends))
      }
    }
  }
  for (let at = 0; at < count; at++) {
    one(at).catch((error: unknown) => {
      console.error(error)
      process.exit(1)
    })
  }
  while (begun.size < count) {
    await errand.dispatch(probe)
    await pause(probeEveryMs)
  }
}
