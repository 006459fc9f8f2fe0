import { setTimeout as pause } from 'node:timers/promises'
import { createErrand, defineWorker, handle } from 'errand'
import type { Config, JobDefinition } from 'errand'
import type { Payload } from '../measure/payload.ts'

const call = 500
const slots = 500

/** Dispatches and runs this many jobs, over the log alone: a real history, whatever the tables look like. */
export async function finish(
  config: Config,
  job: JobDefinition<Payload, Payload, void>,
  count: number,
): Promise<void> {
  await using errand = createErrand({ ...config, driver: 'database' })
  let done = 0
  const isBehind = (dispatched: number): boolean => dispatched - done > 20 * slots
  const all = Promise.withResolvers<void>()
  const handler = handle(job, () => {
    done += 1
    if (done === count) all.resolve()
  })
  const worker = errand.work(defineWorker({ concurrency: slots, handlers: [handler] }), { signals: false })
  await worker.ready
  for (let at = 0; at < count; at += call) {
    const size = Math.min(call, count - at)
    const one = { index: at, user: 'backlog@example.com', text: 'x'.repeat(140) }
    await errand.dispatchMany(Array.from({ length: size }, () => job.with(one)))
    // The worker must keep up: this makes finished jobs, not waiting ones.
    while (isBehind(at + size)) await pause(5)
  }
  await all.promise
  await worker.stop()
}
