import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { JobLog, Topic } from '@errand/core/ports'
import { newJob, until, workerRef } from '@errand/testkit'
import { expect, onTestFinished, test } from 'vitest'
import { openLog, temporaryFolder } from './temporary.ts'

const report = { queues: ['default'], taking: true, progress: [] }

/** Counts what a topic hears from the moment on at which it listens. */
async function listen(log: JobLog, topic: Topic): Promise<{ readonly count: number }> {
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const heard = { count: 0 }
  const wakeups = log.wakeups([topic], stop.signal)[Symbol.asyncIterator]()
  await wakeups.next()
  void (async () => {
    while (!(await wakeups.next()).done) heard.count += 1
  })()
  return heard
}

test('the beats of other workers do not wake a worker: it would answer with a beat, for ever', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const [mine, other] = [openLog(file), openLog(file)]
  const [me, them] = [workerRef(), workerRef()]
  await mine.beat(me, report)
  const beats = await listen(mine, `worker:${me.id}`)
  const commits = await listen(mine, 'events')

  // The first look always counts as news.
  await other.beat(them, report)
  await until(() => commits.count > 0, { what: 'the first commit is seen' })
  const [before, seen] = [beats.count, commits.count]
  for (let times = 1; times <= 5; times += 1) {
    await other.beat(them, report)
    await until(() => commits.count >= seen + times, { what: 'the commit is seen' })
  }
  expect(beats.count).toBe(before)
})

test('a cancellation by another process wakes the worker that runs the job', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const [mine, other] = [openLog(file), openLog(file)]
  const me = workerRef()
  await mine.beat(me, report)
  const job = newJob()
  await mine.append([job])
  await mine.take([job.queue], 1, me, randomUUID())
  const beats = await listen(mine, `worker:${me.id}`)
  const commits = await listen(mine, 'events')
  await other.append([newJob()])
  await until(() => commits.count > 0, { what: 'the first commit is seen' })

  const before = beats.count
  await other.cancel([job.id], { by: 'a test' })
  await until(() => beats.count > before, { what: 'the worker is woken' })
})

test('a request to stop wakes the worker that it is meant for, and no other', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const [mine, other] = [openLog(file), openLog(file)]
  const [me, neighbour] = [workerRef(), workerRef()]
  await mine.beat(me, report)
  await mine.beat(neighbour, report)
  const beats = await listen(mine, `worker:${me.id}`)
  const neighbours = await listen(mine, `worker:${neighbour.id}`)
  await other.append([newJob()])
  await until(() => beats.count > 0 && neighbours.count > 0, { what: 'the first look' })

  const [before, unmoved] = [beats.count, neighbours.count]
  await other.stopWorkers(me.id)
  await until(() => beats.count > before, { what: 'the worker is woken' })
  expect(neighbours.count).toBe(unmoved)
})
