/** A process that does one thing for one subject, told by its parent, and ends with it. */
import { countCalls } from '../profile/calls.ts'
import { Sampling } from '../profile/sampling.ts'
import { Steps } from '../profile/steps.ts'
import { subjectNamed } from '../subjects/index.ts'
import type { Subject } from '../subjects/subject.ts'
import { enqueue1, enqueueBulk, warmUp } from './enqueue.ts'
import { latencies } from './latency.ts'
import { clockMs, workload } from './task.ts'
import type { FromChild, Measured, Task, ToChild } from './task.ts'
import { Usage } from './usage.ts'

/** How often a drain says how far it is. */
const progressEveryMs = 20
/** A subject that does not close is left where it is. */
const closeMs = 10_000

const send = (message: FromChild, sent: () => void = () => {}): void => void process.send?.(message, sent)
const told = { go: Promise.withResolvers<void>(), finish: Promise.withResolvers<void>() }
const usage = new Usage()

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToChild) => {
  if (message.type === 'go') told.go.resolve()
  else if (message.type === 'finish') told.finish.resolve()
  else
    void run(message.task).catch((error: unknown) => {
      send({ type: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    })
})

async function run(task: Task): Promise<void> {
  const { profileTo } = task
  // Of a latency not the whole counts but each step, and a profiler would be in the way.
  const isLatency = task.role === 'latency' || task.role === 'latency-worker'
  const profiled = profileTo !== undefined
  const steps =
    profiled && isLatency ? new Steps(task.role === 'latency' ? 'dispatcher' : 'worker') : undefined
  const calls = profiled && !isLatency ? countCalls(task.subject) : undefined
  const open = await subjectNamed(task.subject).load()
  const subject = await open(task.place)
  const sampling = profiled && !isLatency ? new Sampling(profileTo) : undefined
  const timed = async (): Promise<void> => {
    await sampling?.begin()
    usage.begin()
  }
  const begin = async (): Promise<void> => {
    send({ type: 'ready' })
    await told.go.promise
    calls?.begin()
    // A drain begins with its first handler.
    if (task.role !== 'drain') await timed()
  }
  const measured = await perform(subject, task, begin, timed, steps)
  const counted = calls?.read()
  await sampling?.end()
  await new Promise<void>((sent) => {
    send({ type: 'measured', measured: { ...measured, ...(counted ? { calls: counted } : {}) } }, sent)
  })
  setTimeout(() => process.exit(0), closeMs)
  await subject.close()
  // Whatever a subject keeps open.
  process.exit(0)
}

async function perform(
  subject: Subject,
  task: Task,
  begin: () => Promise<void>,
  timed: () => Promise<void>,
  steps: Steps | undefined,
): Promise<Measured> {
  const { role, n } = task
  switch (role) {
    case 'prepare':
      await begin()
      await subject.prepare()
      await enqueueBulk(subject, n)
      return usage.read()
    case 'backlog':
      await begin()
      await subject.prepare()
      await subject.backlog?.(n)
      return usage.read()
    case 'enqueue1':
    case 'enqueueBulk': {
      await warmUp(subject, role)
      await begin()
      const seconds = await (role === 'enqueue1' ? enqueue1(subject, n) : enqueueBulk(subject, n))
      return { rate: n / seconds, ...usage.read() }
    }
    case 'drain':
      await begin()
      return drain(subject, timed)
    case 'latency':
      await begin()
      return { ...(await latencies(subject, task, steps)), ...usage.read() }
    case 'latency-worker':
      await begin()
      await subject.work(({ index }) => {
        const atMs = clockMs()
        send({ type: 'started', index, atMs, ...(steps ? { steps: steps.take() } : {}) })
      }, workload.concurrency)
      await told.finish.promise
      return usage.read()
    default:
      return role satisfies never
  }
}

/** Runs jobs until it is told that the fleet has run them all: how many each process gets, only the parent knows. */
async function drain(subject: Subject, timed: () => Promise<void>): Promise<Measured> {
  let [count, opening, said] = [0, 0, 0]
  let [firstMs, lastMs] = [0, 0]
  await subject.work(() => {
    lastMs = clockMs()
    if (count === 0) {
      firstMs = lastMs
      void timed()
      setImmediate(() => {
        opening = count
      })
    }
    count += 1
  }, workload.concurrency)
  const progress = setInterval(() => {
    if (count > said) send({ type: 'progress', progress: { count, opening, firstMs, lastMs } })
    said = count
  }, progressEveryMs)
  await told.finish.promise
  clearInterval(progress)
  return usage.read()
}
