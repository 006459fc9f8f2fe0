import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encoded, quietLogger, newJob, outcomes, recorded, settlement, workerRef } from '@errand/testkit'
import { virtualClock } from '@errand/core/testing'
import { asyncHost } from '@errand/core/async-engine'
import type {
  Fence,
  JobLog,
  NewJob,
  NewMessage,
  NewStep,
  NewWait,
  Ticket,
  WorkerRef,
} from '@errand/core/ports'
import { calls } from '../../src/engine/calls.ts'
import { send } from '../../src/engine/messages.ts'
import { MemoryStore } from '../../src/engine/memory-store.ts'
import { memoryLogOn } from '../../src/testing/memory-log.ts'
import { AsyncMemory, openAsyncMemory } from './async-memory.ts'
import { keys, queues, randomLife } from './random-life.ts'
import type { Life } from './random-life.ts'
import { tries } from '../../../../integration-tests/services/tries.ts'

/** The reference log cannot tell whether a call of its own, or an earlier one, has left something for later. */
const withoutPending = (answer: unknown): unknown =>
  Array.isArray(answer)
    ? answer.map((each: unknown) =>
        typeof each === 'object' && each !== null && 'pending' in each
          ? { ...each, pending: undefined }
          : each,
      )
    : answer

/** The answer of a call, or its error. */
const settleAnswer = (call: Promise<unknown>): Promise<unknown> =>
  call.then(withoutPending).catch((error: unknown) => ({
    code: (error as { code?: string }).code,
    message: (error as Error).message,
  }))

/** Everything that a store holds. */
function dump(store: MemoryStore): unknown {
  const sorted = <T extends { readonly id: string }>(some: readonly T[]): T[] =>
    some.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  return {
    facts: store.facts(),
    rows: store.list({}, Infinity, undefined).map((row) => ({
      ...row,
      stored: store.stored(row),
      steps: store.steps(row.id),
      messages: store.unread(row.id, undefined, Infinity),
      needs: store.needsOf(row.id),
    })),
    events: store.events(0, Infinity, {}),
    holders: queues.flatMap((queue) => keys.map((key) => store.holder({ queue, key }))),
    uniques: ['n0', 'n1', 'test.job'].flatMap((name) => ['u0', 'u1'].map((key) => store.unique(name, key))),
    workers: sorted(store.workers()),
    held: store.heldQueues(),
  }
}

/**
 * Most need two. A unique key, an older run, the keys of jobs, those that are told of an end, and what they wait for are read once more
 * each. A sweep has most lists of jobs.
 */
const mostRoundTrips = (name: string): number => (name === 'sweep' ? 12 : 8)

const log = 'log'
const by = { by: 'somebody' }

describe('the rules on an asynchronous database', () => {
  it('answer and write the same as on a store of their own, whatever they are asked', async () => {
    await fc.assert(
      fc.asyncProperty(randomLife, async (steps) => {
        const clock = virtualClock()
        const direct = new MemoryStore(log)
        const database = new AsyncMemory(new MemoryStore(log), clock)
        const expected = memoryLogOn(direct).open({ logger: quietLogger, clock })
        const actual = openAsyncMemory(database, quietLogger)
        const life: Life = { ids: [], runs: [] }
        for (const { name, call } of steps) {
          if (typeof name === 'number') {
            await clock.advance(name)
            continue
          }
          const ask = call(life)
          const answer = await settleAnswer(ask(expected))
          database.roundTrips = 0
          expect(await settleAnswer(ask(actual)), name).toEqual(answer)
          expect(database.roundTrips, name).toBeLessThanOrEqual(mostRoundTrips(name))
        }
        expect(dump(database.store)).toEqual(dump(direct))
      }),
      tries(60),
    )
  })

  it('need two round trips for a batch, and three if its keys or its payloads have to be read', async () => {
    const { log, database } = open()
    const trips = async <T>(call: Promise<T>): Promise<T> => {
      const answer = await call
      counted.push(database.roundTrips)
      database.roundTrips = 0
      return answer
    }
    const counted: number[] = []
    const worker = workerRef()
    await log.beat(worker, { queues: ['a'], taking: true, progress: [] })
    database.roundTrips = 0

    const jobs = Array.from({ length: 100 }, (_, at) =>
      newJob({
        queue: 'a',
        ...(at < 50 ? { ordering: { key: `k${at % 10}`, onFailure: 'block' } } : {}),
        ...(at >= 80 ? { unique: { key: `u${at}`, until: 'finished' } } : {}),
      }),
    )
    await trips(log.append(jobs))
    const verdicts = await trips(log.claim(jobs.map(makeTicket), 40, worker, 'r'))
    const claims = verdicts.flatMap((verdict) => (verdict.verdict === 'run' ? [verdict.claim] : []))
    expect(claims).toHaveLength(40)
    const settlements = claims.map((claim) => settlement(claim, outcomes.succeed()))
    expect(
      recorded(await trips(log.settle(settlements, worker))).every(({ result }) => result === 'settled'),
    ).toBe(true)
    expect((await trips(log.settle(settlements, worker)))[0]).toMatchObject({ result: 'already' })
    await trips(
      log.cancel(
        jobs.slice(0, 50).map(({ id }) => id),
        by,
      ),
    )
    await trips(
      log.replay(
        jobs.slice(0, 20).map(({ id }) => id),
        by,
      ),
    )
    await trips(log.sweep({ limit: 100, republish: false, queues: [], skipQueues: [] }))
    await trips(log.take(['a'], 10, worker, 's'))
    await trips(log.beat(worker, { queues: ['a'], taking: true, progress: [] }))
    await trips(log.get(jobs[0]!.id))
    expect(counted).toEqual([2, 2, 2, 2, 3, 2, 2, 3, 2, 1])
  })

  it('read before they write: an idle take writes nothing', async () => {
    const { log, database } = open()
    const worker = workerRef()
    await log.beat(worker, { queues: ['a'], taking: true, progress: [] })
    database.roundTrips = 0
    expect(await log.take(['a', 'b'], 10, worker, 'r')).toEqual([])
    expect(database.roundTrips).toBe(1)
  })
})

describe('rules to come', () => {
  it('may ask for the first of a list again and again, and change each', async () => {
    const { log, database } = open()
    await log.append(Array.from({ length: 7 }, () => newJob({ queue: 'a' })))
    const drained = await asyncHost(database).write((store) => {
      for (let count = 0; ; count += 1) {
        const [row] = store.ready('a', 'highest', 1)
        if (!row) return count
        store.update(Object.assign(row, { state: 'cancelled' }))
      }
    }, {})
    expect(drained).toBe(7)
    expect(database.store.ready('a', 'highest', 9)).toEqual([])
  })

  it('may change a job that was only looked at: it is locked first', async () => {
    const { log, database, worker } = await openWithWorker()
    await log.append([newJob({ queue: 'a' })])
    await log.take(['a'], 1, worker, 'r')
    await asyncHost(database).write((store) => {
      for (const row of store.claimsOf(worker.id)) store.update(Object.assign(row, { streak: 7 }))
    }, {})
    expect(database.store.claimsOf(worker.id)).toMatchObject([{ streak: 7 }])
  })

  it('are refused if the database never answers them', async () => {
    const { database } = open()
    let asked = 0
    const ask = asyncHost(database).write((store) => store.row(`job ${(asked += 1)}`), {})
    await expect(ask).rejects.toMatchObject({ code: 'E_LOG', message: expect.stringContaining('20 reads') })
  })
})

describe('rows that another transaction has locked', () => {
  it('a ticket of a locked job is tried again, and a take passes over it', async () => {
    const { log, database, worker } = await openWithWorker()
    const jobs = [newJob({ queue: 'a' }), newJob({ queue: 'a' })]
    await log.append(jobs)
    database.lockedJobs.add(jobs[0]!.id)
    const verdicts = await log.claim(jobs.map(makeTicket), 1, worker, 'r')
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(['again', 'run'])
    expect(await log.take(['a'], 9, worker, 's')).toEqual([])
    database.lockedJobs.clear()
    expect(await log.take(['a'], 9, worker, 's')).toMatchObject([{ id: jobs[0]!.id }])
  })

  it.each(['passNotes', 'sweep'] as const)(
    'a locked ordering key is noted when its holder ends, and %s passes it on',
    async (later) => {
      const { log, database, worker } = await openWithWorker()
      const [first, second] = await appendLine(log, 2)
      const [claim] = await log.take(['a'], 1, worker, 'r')
      database.lockedKeys.add('k')
      const settled = await log.settle([settlement(claim!, outcomes.succeed())], worker)
      expect(settled).toMatchObject([{ result: 'settled', event: 'succeeded', pending: true, tickets: [] }])
      expect((await log.get(first!.id))?.state).toBe('succeeded')

      const pass = async (): Promise<readonly Ticket[]> =>
        later === 'passNotes'
          ? log.passNotes(10)
          : (await log.sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })).tickets
      expect(await pass()).toEqual([])
      expect(database.notes).toHaveLength(1)
      database.lockedKeys.clear()
      expect(await pass()).toMatchObject([{ id: second!.id }])
      expect(database.notes).toEqual([])
      expect(await pass()).toEqual([])
    },
  )

  it('a noted key whose holder has failed and blocks it is left alone', async () => {
    const { log, database, worker } = await openWithWorker()
    const [first, second] = await appendLine(log, 2)
    const [claim] = await log.take(['a'], 1, worker, 'r')
    await log.settle([settlement(claim!, outcomes.fail())], worker)
    database.notes = [
      { queue: 'a', key: 'k' },
      { queue: 'a', key: 'unknown' },
    ]
    expect(await log.passNotes(10)).toEqual([])
    expect(database.store.holder({ queue: 'a', key: 'k' })).toBe(first!.id)
    expect((await log.get(second!.id))?.state).toBe('blocked')
  })

  it('the keys of all jobs that are due are asked for together', async () => {
    const { log, database, clock } = await openWithWorker()
    await log.append(
      Array.from({ length: 9 }, (_, at) =>
        newJob({ queue: 'a', due: { delayMs: 10 }, ordering: { key: `k${at}`, onFailure: 'block' } }),
      ),
    )
    await clock.advance(20)
    database.roundTrips = 0
    const { tickets } = await log.sweep({ limit: 100, republish: false, queues: [], skipQueues: [] })
    expect(tickets).toHaveLength(9)
    expect(database.roundTrips).toBe(3)
  })

  it('a due job whose key is locked waits for the next sweep', async () => {
    const { log, database, clock } = await openWithWorker()
    const job = newJob({ queue: 'a', due: { delayMs: 10 }, ordering: { key: 'k', onFailure: 'block' } })
    await log.append([job])
    await clock.advance(20)
    database.lockedKeys.add('k')
    const sweep = () => log.sweep({ limit: 1, republish: false, queues: [], skipQueues: [] })
    expect(await sweep()).toMatchObject({ tickets: [], full: false, nextDueInMs: 0 })
    database.lockedKeys.clear()
    expect(await sweep()).toMatchObject({ tickets: [{ id: job.id }] })
  })
})

describe('what jobs remember, beside other transactions', () => {
  const newStep = ({ id, run }: Fence, name: string): NewStep => ({
    id,
    run,
    name,
    memoryVersion: 0,
    durationMs: 1,
    result: undefined,
  })
  const newMessage = (job: string): NewMessage => ({
    id: randomUUID(),
    job,
    name: 'approved',
    payload: encoded(1),
    by: 'ada',
  })
  const approval: NewWait = { kind: 'message', name: 'approval', message: 'approved', timeoutMs: undefined }
  const suspend = (log: JobLog, worker: WorkerRef, claim: Fence, wait: NewWait) =>
    log.settle([settlement(claim, { kind: 'suspend', waits: [wait], memoryVersion: 0 })], worker)
  const start = async ({ log, worker }: Awaited<ReturnType<typeof openWithWorker>>) => {
    await log.append([newJob({ queue: 'a' })])
    const [claim] = await log.take(['a'], 1, worker, randomUUID())
    return claim!
  }

  it('a step of a job whose row is locked is to be offered again', async () => {
    const opened = await openWithWorker()
    const [one, two] = [await start(opened), await start(opened)]
    const { log, database, worker } = opened
    database.lockedJobs.add(one.id)
    const steps = [newStep(one, 's'), newStep(two, 's')]
    expect(await log.remember(steps, worker)).toEqual(['again', 'kept'])
    database.lockedJobs.clear()
    expect(await log.remember(steps, worker)).toEqual(['kept', 'already'])
  })

  it('a message to a job whose row is locked is stored, and a note tells the job', async () => {
    const opened = await openWithWorker()
    const { log, database, worker } = opened
    const claim = await start(opened)
    await suspend(log, worker, claim, approval)
    database.lockedJobs.add(claim.id)
    expect(await log.send([newMessage(claim.id)])).toEqual({ sent: ['sent'], tickets: [] })
    expect(await log.passNotes(10)).toEqual([])
    database.lockedJobs.clear()
    expect(await log.passNotes(10)).toMatchObject([{ id: claim.id }])
    expect((await log.memory(claim.id)).steps).toMatchObject([{ by: 'message' }])
  })

  it("in the caller's transaction a message locks no row", async () => {
    const opened = await openWithWorker()
    const { log, database, worker } = opened
    const claim = await start(opened)
    await suspend(log, worker, claim, approval)
    database.locked.clear()
    const messages = [newMessage(claim.id), newMessage(randomUUID())]
    const { sent } = await asyncHost(database).write(
      (store, now) => send(store, now, messages, true),
      calls.sendInside(messages),
    )
    expect(sent).toEqual(['sent', 'unknown'])
    expect(database.locked.size).toBe(0)
    expect(await log.passNotes(10)).toMatchObject([{ id: claim.id }])
  })

  it('a call does not wait for the row of what is called', async () => {
    const opened = await openWithWorker()
    const { log, database, worker } = opened
    const [caller, called] = [await start(opened), await start(opened)]
    database.lockedJobs.add(called.id)
    const [settled] = await suspend(log, worker, caller, { kind: 'call', name: 'print', on: called.id })
    expect(settled).toMatchObject({ state: 'suspended', pending: true })
    database.lockedJobs.clear()
    await log.passNotes(10)
    await log.settle([settlement(called, outcomes.succeed())], worker)
    expect((await log.memory(caller.id)).steps).toMatchObject([{ by: 'succeeded' }])
  })

  it('a message that ends the waits of many jobs needs as few round trips as one', async () => {
    const trips = async (count: number): Promise<number> => {
      const opened = await openWithWorker()
      const { log, database, worker } = opened
      const claims = []
      for (let at = 0; at < count; at += 1) claims.push(await start(opened))
      for (const claim of claims) await suspend(log, worker, claim, approval)
      database.roundTrips = 0
      const { tickets } = await log.send(claims.map(({ id }) => newMessage(id)))
      expect(tickets).toHaveLength(count)
      return database.roundTrips
    }
    expect(await trips(20)).toBe(await trips(1))
  })
})

function open() {
  const clock = virtualClock()
  const database = new AsyncMemory(new MemoryStore(log), clock)
  return { clock, database, log: openAsyncMemory(database, quietLogger) }
}

async function openWithWorker() {
  const opened = open()
  const worker = workerRef()
  await opened.log.beat(worker, { queues: ['a'], taking: true, progress: [] })
  return { ...opened, worker }
}

/** Jobs of one ordering key. */
async function appendLine(log: JobLog, count: number): Promise<NewJob[]> {
  const jobs = Array.from({ length: count }, () =>
    newJob({ queue: 'a', ordering: { key: 'k', onFailure: 'block' } }),
  )
  await log.append(jobs)
  return jobs
}

function makeTicket({ id, queue, lane }: NewJob): Ticket {
  return { id, queue, lane, log }
}
