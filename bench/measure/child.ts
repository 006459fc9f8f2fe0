/** A process that does one task of its parent for one subject, and ends with its parent. */
import { setTimeout as pause } from 'node:timers/promises'
import { countCalls } from '../profile/calls.ts'
import { Sampling } from '../profile/sampling.ts'
import { Steps } from '../profile/steps.ts'
import { subjectNamed } from '../subjects/index.ts'
import type { Subject } from '../subjects/subject.ts'
import { runJobs } from './drain-role.ts'
import { enqueue1, enqueueBulk, fill, warmUp } from './enqueue.ts'
import { latencies } from './latency.ts'
import { clockMs, workload } from './task.ts'
import type { FromChild, Measured, Task, ToChild } from './task.ts'
import { Usage } from './usage.ts'

/** A subject that does not close is left alone. */
const closeMs = 10_000

const send = (message: FromChild, sent: () => void = () => {}): void => void process.send?.(message, sent)
const told = { go: Promise.withResolvers<void>(), finish: Promise.withResolvers<void>() }

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToChild) => {
  if (message.type === 'go') told.go.resolve()
  else if (message.type === 'finish') told.finish.resolve()
  else
    void run(message.task).catch((error: unknown) => {
      send({ type: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    })
})

/** What the roles measure with. */
interface Timing {
  /** Says that it is ready, and waits until it may go. */
  readonly begin: () => Promise<void>
  /** From here on it counts. */
  readonly timed: () => Promise<void>
  readonly finish: Promise<void>
  readonly read: () => Omit<Measured, 'jobs' | 'rate' | 'latencies' | 'steps'>
}

async function run(task: Task): Promise<void> {
  const { profileTo } = task
  // For a latency each step counts and not the whole, and a profiler would disturb it.
  const isLatency = task.role === 'latency' || task.role === 'latency-worker'
  const profiled = profileTo !== undefined
  const steps =
    profiled && isLatency ? new Steps(task.role === 'latency' ? 'dispatcher' : 'worker') : undefined
  const calls = countCalls(profiled && task.subject.includes('sqlite'))
  const usage = new Usage(task.servers)
  const open = await subjectNamed(task.subject).load()
  const subject = await open(task.place)
  const sampling = profiled && !isLatency ? new Sampling(profileTo) : undefined
  const timing: Timing = {
    begin: async () => {
      send({ type: 'ready' })
      await told.go.promise
    },
    timed: async () => {
      // Without a turn of the event loop between them: both begin at the same moment.
      usage.begin()
      calls.begin()
      await sampling?.begin()
    },
    finish: told.finish.promise,
    read: () => ({ ...usage.read(), calls: calls.read() }),
  }
  const measured = await perform(subject, task, timing, steps)
  await sampling?.end()
  await new Promise<void>((sent) => {
    send({ type: 'measured', measured }, sent)
  })
  setTimeout(() => process.exit(0), closeMs)
  await subject.close()
  // Exits even if a subject keeps something open.
  process.exit(0)
}

async function perform(
  subject: Subject,
  task: Task,
  { begin, timed, finish, read }: Timing,
  steps: Steps | undefined,
): Promise<Measured> {
  const { role, n, place } = task
  const { payloadBytes, slots } = place.work
  switch (role) {
    case 'prepare':
      await begin()
      await timed()
      await subject.prepare()
      await fill(subject, n, payloadBytes)
      return { jobs: n, ...read() }
    case 'backlog':
      await begin()
      await timed()
      await subject.prepare()
      await subject.backlog?.(n)
      return { jobs: n, ...read() }
    case 'enqueue1':
    case 'enqueueBulk': {
      await warmUp(subject, role, payloadBytes)
      await begin()
      await timed()
      const enqueue = role === 'enqueue1' ? enqueue1 : enqueueBulk
      return { ...(await enqueue(subject, n, payloadBytes)), ...read() }
    }
    case 'drain': {
      await begin()
      const count = await runJobs({ subject, work: place.work, timed, finish, send })
      return { jobs: count(), ...read() }
    }
    case 'follow': {
      let least = 0
      await subject.follow?.(place.followers, (count) => (least = count))
      await begin()
      await timed()
      const progress = setInterval(() => send({ type: 'seen', count: least }), 20)
      await finish
      clearInterval(progress)
      return { jobs: least, ...read() }
    }
    case 'latency':
      await begin()
      await timed()
      return { ...(await latencies(subject, task, steps)), ...read() }
    case 'latency-worker':
      await begin()
      await timed()
      await subject.work(({ index }) => {
        const atMs = clockMs()
        send({ type: 'started', index, atMs, ...(steps ? { steps: steps.take() } : {}) })
      }, slots)
      await finish
      return { jobs: 0, ...read() }
    case 'idle':
      await subject.work(() => {}, slots)
      await pause(workload.calmMs)
      await begin()
      await timed()
      await finish
      return { jobs: 0, ...read() }
    case 'lists':
      await begin()
      await timed()
      await subject.lists?.()
      return { jobs: 0, ...read() }
    default:
      return role satisfies never
  }
}
