import { setTimeout as pause } from 'node:timers/promises'
import { stepTimes } from '../profile/steps.ts'
import type { Step, Steps, StepTime } from '../profile/steps.ts'
import type { Subject } from '../subjects/subject.ts'
import { makePayload } from './payload.ts'
import { spawnChild } from './child-process.ts'
import { clockMs, workload } from './task.ts'
import type { FromChild, Task } from './task.ts'

const warmUps = 5
const lostMs = 60_000

/**
 * Milliseconds from the call of dispatch to the handler's start, one job at a time, with the worker idle before each. The
 * worker runs in another process, as usual. Both read one monotonic clock.
 */
export async function latencies(
  subject: Subject,
  task: Task,
  steps: Steps | undefined,
): Promise<{
  readonly jobs: number
  readonly latencies: readonly number[]
  readonly steps?: readonly StepTime[]
}> {
  type Start = Extract<FromChild, { type: 'started' }>
  let heard = Promise.withResolvers<Start>()
  await using worker = spawnChild({ ...task, role: 'latency-worker' })
  worker.onMessage((message) => {
    if (message.type === 'started') heard.resolve(message)
    if (message.type === 'failed') heard.reject(new Error(message.error))
  })
  await worker.ready
  worker.go()
  const jobs: (readonly Step[])[] = []
  const one = async (index: number): Promise<number> => {
    await pause(workload.latencyPauseMs * (0.5 + Math.random()))
    heard = Promise.withResolvers()
    steps?.take()
    const from = clockMs()
    await subject.enqueue1(makePayload(index))
    const late = setTimeout(() => heard.reject(new Error(`a job did not start within ${lostMs} ms`)), lostMs)
    const { atMs, steps: theirs = [] } = await heard.promise
    clearTimeout(late)
    if (steps) {
      const all = [...steps.take(), ...theirs, { what: 'handler started', atMs }]
      jobs.push(
        all.filter((step) => step.atMs >= from).map(({ what, atMs: at }) => ({ what, atMs: at - from })),
      )
    }
    return atMs - from
  }
  for (let index = 0; index < warmUps; index++) await one(index)
  jobs.length = 0
  const found: number[] = []
  const untilMs = clockMs() + workload.latencyMaxMs
  while (found.length < workload.latencyJobs && clockMs() < untilMs)
    found.push(await one(warmUps + found.length))
  await worker.finish()
  return { jobs: found.length, latencies: found, ...(steps ? { steps: stepTimes(jobs) } : {}) }
}
