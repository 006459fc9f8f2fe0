import { setTimeout as pause } from 'node:timers/promises'
import { createErrand, defineJob, defineWorker, handle } from 'errand'
import type { Config } from 'errand'
import type { Payload } from '../measure/payload.ts'
import type { Subject } from './subject.ts'

/** Payloads pass as they are: none of the peers validates, and what a schema library costs is not Errand's. */
const payload = {
  '~standard': {
    version: 1,
    vendor: 'bench',
    validate: (value: unknown) => ({ value: value as Payload }),
    types: undefined as { readonly input: Payload; readonly output: Payload } | undefined,
  },
} as const

export const job = defineJob({ name: 'bench.noop', queue: 'bench', payload })

const backlogCall = 500
const backlogSlots = 500

/** Errand as a user gets it: nothing is set but where the log and the broker are, and the names of its own. */
export function errandSubject(config: Config): Subject {
  const errand = createErrand(config)
  return {
    prepare: async () => void (await errand.migrate()),
    enqueue1: (one) => errand.dispatch(job, one),
    enqueueBulk: (many) => errand.dispatchMany(many.map((one) => job.with(one))),
    work: async (started, concurrency) => {
      const handler = handle(job, (one) => started(one))
      await errand.work(defineWorker({ concurrency, handlers: [handler] }), { signals: false }).ready
    },
    backlog: (count) => finish(config, count),
    close: () => errand.close(),
  }
}

/** Dispatches and runs so many jobs: a history that was really lived, whatever the tables look like. Over the log alone. */
async function finish(config: Config, count: number): Promise<void> {
  await using errand = createErrand({ ...config, driver: 'database' })
  let done = 0
  const isBehind = (dispatched: number): boolean => dispatched - done > 20 * backlogSlots
  const all = Promise.withResolvers<void>()
  const handler = handle(job, () => {
    done += 1
    if (done === count) all.resolve()
  })
  const worker = errand.work(defineWorker({ concurrency: backlogSlots, handlers: [handler] }), {
    signals: false,
  })
  await worker.ready
  for (let at = 0; at < count; at += backlogCall) {
    const size = Math.min(backlogCall, count - at)
    const one = { index: at, user: 'backlog@example.com', text: 'x'.repeat(140) }
    await errand.dispatchMany(Array.from({ length: size }, () => job.with(one)))
    // Taken as fast as they come: a backlog of waiting jobs is not what is wanted here.
    while (isBehind(at + size)) await pause(5)
  }
  await all.promise
  await worker.stop()
}
