import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import type { Fence, NewWait } from '@errand/core/ports'
import { encoded, newJob, outcomes, settlement, workerRef } from '@errand/testkit'
import { openLog, temporaryFolder } from './temporary.ts'

const tooLarge = 9_223_372_036_854_775_807n
const sweeping = { limit: 100, republish: false, queues: ['test'], skipQueues: [] }

/** A log with a worker and a way around it. */
async function open() {
  const file = join(temporaryFolder(), 'jobs.db')
  const log = openLog(file)
  await log.connect()
  const worker = workerRef()
  await log.beat(worker, { queues: ['test'], taking: true, progress: [] })
  const around = new DatabaseSync(file)
  onTestFinished(() => around.close())
  const start = async (): Promise<Fence> => {
    await log.append([newJob()])
    const [claim] = await log.take(['test'], 1, worker, randomUUID())
    return claim!
  }
  const suspend = async (wait: NewWait): Promise<Fence> => {
    const claim = await start()
    await log.settle([settlement(claim, { kind: 'suspend', waits: [wait], memoryVersion: 0 })], worker)
    return claim
  }
  const remember = (some: readonly Fence[]) =>
    log.remember(
      some.map(({ id, run }) => ({
        id,
        run,
        name: randomUUID(),
        memoryVersion: 0,
        durationMs: 1,
        result: undefined,
      })),
      worker,
    )
  const states = async (some: readonly Fence[]) =>
    Promise.all(some.map(async ({ id }) => (await log.get(id))?.state))
  const spoil = (sql: string, { id }: Fence): void => void around.prepare(sql).run(tooLarge, id)
  return { log, worker, start, suspend, remember, states, spoil }
}

test('a job whose wait cannot be read fails, and the others are resumed', async () => {
  const { log, suspend, states, spoil } = await open()
  const sleep: NewWait = { kind: 'sleep', name: 'rest', until: { at: Date.now() + 2_000 } }
  const jobs = [await suspend(sleep), await suspend(sleep), await suspend(sleep)]
  spoil('update errand_steps set until = ? where job_id = ?', jobs[1]!)
  await expect
    .poll(
      async () => {
        await log.sweep(sweeping)
        return states(jobs)
      },
      { timeout: 30_000 },
    )
    .toEqual(['ready', 'failed', 'ready'])
  expect((await log.get(jobs[1]!.id))?.error?.text).toContain('its row in the job log cannot be worked with')
  expect((await log.memory(jobs[1]!.id)).steps).toMatchObject([{ name: 'rest' }])
})

test('steps of a job whose memory cannot be read are not stored, and those of the others are', async () => {
  const { start, remember, states, spoil } = await open()
  const jobs = [await start(), await start(), await start()]
  await remember(jobs)
  spoil('update errand_steps set ord = ? where job_id = ?', jobs[1]!)
  expect(await remember(jobs)).toEqual(['kept', 'claim-lost', 'kept'])
  expect(await states(jobs)).toEqual(['running', 'failed', 'running'])
})

test('a message that cannot be read fails the job that it is for, when that waits for it', async () => {
  const { log, worker, start, states, spoil } = await open()
  const jobs = [await start(), await start()]
  await log.send(
    jobs.map(({ id }) => ({ id: randomUUID(), job: id, name: 'approved', payload: encoded(1), by: 'ada' })),
  )
  spoil('update errand_messages set at = ? where job_id = ?', jobs[0]!)
  const wait: NewWait = { kind: 'message', name: 'approval', message: 'approved', timeoutMs: undefined }
  await log.settle(
    jobs.map((job) => settlement(job, { kind: 'suspend', waits: [wait], memoryVersion: 0 })),
    worker,
  )
  expect(await states(jobs)).toEqual(['failed', 'ready'])
  expect((await log.memory(jobs[0]!.id)).messages).toHaveLength(1)
})

test('the memory of an ended job is mended where it is read', async () => {
  const { log, worker, start, remember, spoil } = await open()
  const job = await start()
  await remember([job])
  await log.settle([settlement(job, outcomes.succeed())], worker)
  spoil('update errand_steps set duration_ms = ? where job_id = ?', job)
  expect((await log.memory(job.id)).steps).toMatchObject([{ order: 1, durationMs: 2_147_483_647 }])
})
