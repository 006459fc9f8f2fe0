import { expect, test } from 'vitest'
import { createErrand, defineJob, defineWorker, ErrandError, handle } from '../src/index.ts'
import { memoryDriver, memoryLog, silentLogger } from '../src/testing.ts'
import { catchRefusal } from './catch-refusal.ts'
import { testInstance } from './instance.ts'
import { recordingLogger } from './recording-logger.ts'

const job = defineJob({ name: 'a' })
const logger = silentLogger

test('making an instance opens nothing; the first use does, once', async () => {
  let opened = 0
  const log = memoryLog()
  const counting = {
    ...log,
    open: (context: Parameters<typeof log.open>[0]) => (opened++, log.open(context)),
  }
  await using errand = createErrand({ log: counting, driver: memoryDriver(), logger })
  expect(opened).toBe(0)
  await Promise.all([errand.dispatch(job), errand.dispatch(job), errand.connect(), errand.queues.list()])
  expect(opened).toBe(1)
})

test('a first use that fails is not remembered: the next one opens again', async () => {
  const log = memoryLog()
  let tries = 0
  const flaky = {
    ...log,
    open: (context: Parameters<typeof log.open>[0]) => {
      tries += 1
      if (tries === 1) throw new ErrandError('E_READ_ONLY', 'the folder cannot be written')
      return log.open(context)
    },
  }
  await using errand = createErrand({ log: flaky, driver: memoryDriver(), logger })
  expect(await catchRefusal(() => errand.dispatch(job))).toMatchObject({ code: 'E_READ_ONLY' })
  expect(await errand.dispatch(job)).toMatchObject({ status: 'added' })
})

test('every function refuses to work after close, and close is shared', async () => {
  let closes = 0
  const test = testInstance({
    log: (log) => ({
      close: async () => {
        closes += 1
        await log.close()
      },
    }),
  })
  const { errand } = test
  await errand.dispatch(job)
  await Promise.all([errand.close(), errand.close()])
  await errand[Symbol.asyncDispose]()
  expect(closes).toBe(1)
  const uses = [
    () => errand.dispatch(job),
    () => errand.dispatchMany([]),
    () => errand.work(defineWorker({ handlers: [] })),
    () => errand.wake(),
    () => errand.connect(),
    () => errand.migrate(),
    () => errand.doctor(),
    () => errand.jobs.get('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
    () => errand.queues.list(),
    () => errand.workers.list(),
    () => errand.events.of('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
  ]
  for (const use of uses) expect(await catchRefusal(use)).toMatchObject({ code: 'E_CLOSED' })
})

test('an instance that was never used closes without opening anything', async () => {
  const log = memoryLog()
  const never = { ...log, open: () => expect.unreachable() }
  await createErrand({ log: never, driver: memoryDriver(), logger }).close()
})

test('a wrong worker is refused at once; one that its factory makes rejects ready and is told', async () => {
  const recording = recordingLogger()
  await using errand = createErrand({ log: memoryLog(), driver: memoryDriver(), logger: recording })
  expect(await catchRefusal(() => errand.work({ handlers: 'all' } as never))).toMatchObject({
    code: 'E_OPTION',
  })
  expect(await catchRefusal(() => errand.work(undefined as never))).toMatchObject({ code: 'E_OPTION' })
  expect(await catchRefusal(() => errand.work({ handlers: [] }, { queue: 'a' } as never))).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('"queues"'),
  })
  const worker = errand.work(() => ({ handlers: [handle(job, () => 1), handle(job, () => 2)] }))
  expect(await catchRefusal(() => worker.ready)).toMatchObject({ code: 'E_DUPLICATE_JOB' })
  await catchRefusal(() => worker.finished)
  expect(recording.lines.map(({ level }) => level)).toContain('error')
})

test('a worker has its id at once, takes jobs when ready, and stops with the instance', async () => {
  const errand = createErrand({ log: memoryLog(), driver: memoryDriver(), logger })
  const worker = errand.work(defineWorker({ handlers: [handle(job, () => undefined)] }), { signals: false })
  expect(worker.health()).toMatchObject({ taking: false, why: expect.any(String) })
  const { id } = worker
  await worker.ready
  expect(worker.health()).toMatchObject({ taking: true })
  expect(await errand.workers.list()).toMatchObject([{ id, alive: true }])
  const receipt = await errand.dispatch(job)
  await errand.result(receipt)
  await errand.close()
  await worker.finished
})

test('a worker that is stopped before it has loaded never takes a job', async () => {
  await using errand = createErrand({ log: memoryLog(), driver: memoryDriver(), logger })
  const worker = errand.work(defineWorker({ handlers: [handle(job, () => undefined)] }), { signals: false })
  worker.ready.catch(() => undefined)
  await worker.stop()
  await worker.finished
  expect(await errand.workers.list()).toEqual([])
})

test('a log of another version is told by connect', async () => {
  await using test = testInstance({
    log: () => ({ connect: () => Promise.reject(new ErrandError('E_LOG_VERSION', 'the schema is at 9')) }),
  })
  expect(await catchRefusal(() => test.errand.connect())).toMatchObject({ code: 'E_LOG_VERSION' })
})

test('migrate goes to the log without connecting first', async () => {
  await using test = testInstance({
    log: () => ({ connect: () => Promise.reject(new Error('no schema yet')) }),
  })
  expect(await test.errand.migrate({ restored: true })).toEqual({ from: 1, to: 1 })
  expect(await catchRefusal(() => test.errand.migrate({ restore: true } as never))).toMatchObject({
    code: 'E_OPTION',
  })
})

test('dispatch may be taken out of its instance', async () => {
  await using test = testInstance()
  const { dispatch } = test.errand
  expect(await dispatch(job)).toMatchObject({ status: 'added' })
})
