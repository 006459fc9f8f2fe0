import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import type { Claim, Fence, NewMessage, NewStep, NewWait, WorkerRef } from '@errand/core/ports'
import { checkHistory, encoded, newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { describeOnPostgres } from './stage.ts'

const queue = 'memory'
const hourMs = 3_600_000

const newStep = ({ id, run }: Fence, name = 'charge'): NewStep => ({
  id,
  run,
  name,
  memoryVersion: 0,
  durationMs: 1,
  result: encoded(name),
})
const newMessage = (job: string): NewMessage => ({
  id: randomUUID(),
  job,
  name: 'approved',
  payload: encoded(1),
  by: 'ada',
})
const approval = (timeoutMs?: number): NewWait => ({
  kind: 'message',
  name: 'approval',
  message: 'approved',
  timeoutMs,
})

/**
 * What one writer at a time cannot show: transactions of the application that stay open while others look at the same job. Nobody
 * waits for them but who asks for the job by its id, and nothing is decided from what they have not committed.
 */
describeOnPostgres('memory and messages among open transactions', ({ stage, log }) => {
  beforeAll(async () => void (await stage.sql('create table errand.ledger (job_id uuid, effect text)')))

  const worker = async (): Promise<WorkerRef> => {
    const by = workerRef({ leaseMs: 600_000 })
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
    return by
  }
  const take = async (by: WorkerRef): Promise<Claim> => {
    const [claim] = await log.take([queue], 1, by, randomUUID())
    return claim!
  }
  const start = async (by: WorkerRef): Promise<Claim> => {
    await log.append([newJob({ queue })])
    return take(by)
  }
  const settle = async (by: WorkerRef, claim: Fence, outcome = outcomes.succeed()): Promise<void> => {
    expect(await log.settle([settlement(claim, outcome)], by)).toMatchObject([{ result: 'settled' }])
  }
  const suspend = (by: WorkerRef, claim: Fence, ...waits: readonly NewWait[]) =>
    log.settle([settlement(claim, { kind: 'suspend', waits, memoryVersion: 0 })], by)

  /** A transaction of the application. */
  const begin = async (): Promise<{ readonly tx: Client; readonly waits: () => Promise<unknown> }> => {
    const tx = await stage.client()
    // One that is left open by a story that fails must not hold up the next.
    onTestFinished(() => tx.end())
    await tx.query('begin')
    const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
    const looks = async (): Promise<boolean> =>
      (await stage.sql('select from pg_locks where pid = $1 and not granted', [rows[0]!.pid])).length > 0
    return { tx, waits: () => until(looks, { what: 'the transaction waits', withinMs: 3_000 }) }
  }
  const act = (tx: Client, { id }: Fence, effect: string) =>
    tx.query(`insert into ${stage.schema}.ledger values ($1, $2)`, [id, effect])
  const effects = async ({ id }: Fence): Promise<unknown[]> =>
    (await stage.sql('select effect from errand.ledger where job_id = $1', [id])).map(({ effect }) => effect)
  const lose = (by: WorkerRef) =>
    stage.sql(`update errand.workers set lease_until = '2020-01-01' where id = $1`, [by.id])
  const sweepLost = (on: Pick<Client, 'query'>) =>
    on.query<{ id: string }>(`select id from ${stage.schema}.sweep_lost_v1(100, ${stage.schema}.clock())`)
  const story = async (id: string) => (await log.readHistory(id)).map(({ type }) => type)
  const told = async (id: string) =>
    (await log.memory(id)).steps.map(({ name, by = 'kept' }) => `${name} ${by}`)
  const notes = () => stage.sql('select job_id from errand.message_notes')

  it('a sweep passes over a run with an open step, and takes it after the commit', async () => {
    const by = await worker()
    const claim = await start(by)
    const { tx } = await begin()
    const sweeper = await stage.client()
    expect(await log.recall(claim, 'charge', by, tx)).toBeUndefined()
    await act(tx, claim, 'charged')
    await log.rememberInside(newStep(claim), by, tx)
    await lose(by)
    expect((await sweepLost(sweeper)).rows).toEqual([])
    await tx.query('commit')
    expect((await sweepLost(sweeper)).rows).toEqual([{ id: claim.id }])

    const next = await worker()
    const second = await take(next)
    const again = await begin()
    expect(await log.recall(second, 'charge', next, again.tx)).toMatchObject({
      name: 'charge',
      kind: 'step',
      order: 1,
      run: 1,
      body: encoded('charge'),
    })
    await again.tx.query('rollback')
    expect(await effects(claim)).toEqual(['charged'])
    await settle(next, second)
  })

  it('a step whose run a sweep has just taken waits for it, and rolls back with its effect', async () => {
    const by = await worker()
    const claim = await start(by)
    await lose(by)
    const sweeper = await begin()
    expect((await sweepLost(sweeper.tx)).rows).toEqual([{ id: claim.id }])
    const { tx, waits } = await begin()
    await act(tx, claim, 'charged')
    const kept = expect(log.rememberInside(newStep(claim), by, tx)).rejects.toMatchObject({
      code: 'E_CLAIM_LOST',
    })
    await waits()
    await sweeper.tx.query('commit')
    await kept
    await expect(tx.query('select 1')).rejects.toThrowError(/aborted/)
    await tx.query('commit')
    expect(await effects(claim)).toEqual([])
    expect(await told(claim.id)).toEqual([])
    const next = await worker()
    await settle(next, await take(next))
  })

  it('a cancellation waits for an open step, and then asks the run to end', async () => {
    const by = await worker()
    const claim = await start(by)
    const { tx } = await begin()
    await log.rememberInside(newStep(claim), by, tx)
    const cancelled = log.cancel([claim.id], { by: 'ada' })
    const isWaiting = async (): Promise<boolean> =>
      (
        await stage.sql(
          `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%${stage.schema}%cancel%'`,
        )
      ).length > 0
    await until(isWaiting, { what: 'the cancellation waits' })
    await tx.query('commit')
    expect(await cancelled).toMatchObject({ cancelled: 0, requested: 1 })
    expect(await told(claim.id)).toEqual(['charge kept'])
    expect(await suspend(by, claim, approval())).toMatchObject([{ state: 'cancelled' }])
    expect(await told(claim.id)).toEqual(['charge kept'])
  })

  it('steps of one job do not wait for each other, nor does the end of the run for long', async () => {
    const by = await worker()
    const claim = await start(by)
    const { tx } = await begin()
    await log.rememberInside(newStep(claim), by, tx)
    expect(await log.remember([newStep(claim, 'ship')], by)).toEqual(['kept'])
    const other = await begin()
    await log.rememberInside(newStep(claim, 'tell'), by, other.tx)
    await other.tx.query('commit')
    const settled = suspend(by, claim, { kind: 'sleep', name: 'rest', until: { delayMs: hourMs } })
    await sleep(20)
    await tx.query('commit')
    expect(await settled).toMatchObject([{ result: 'settled', state: 'suspended' }])
    expect(await told(claim.id)).toEqual(['charge kept', 'ship kept', 'tell kept', 'rest kept'])
    await log.cancel([claim.id], { by: 'ada' })
  })

  it.for(['commit', 'rollback'] as const)(
    'two transactions store one name: after a %s of the first, for which it waits, one has acted',
    async (how) => {
      const by = await worker()
      const claim = await start(by)
      const first = await begin()
      const second = await begin()
      await act(first.tx, claim, 'first')
      await log.rememberInside(newStep(claim), by, first.tx)
      await act(second.tx, claim, 'second')
      const kept = log.rememberInside(newStep(claim), by, second.tx).then(
        () => 'kept',
        (error: { code: string }) => error.code,
      )
      await second.waits()
      await first.tx.query(how)
      expect(await kept).toBe(how === 'commit' ? 'E_CLAIM_LOST' : 'kept')
      await second.tx.query('commit')
      expect(await effects(claim)).toEqual([how === 'commit' ? 'first' : 'second'])
      expect(await told(claim.id)).toEqual(['charge kept'])
      await settle(by, claim)
    },
  )

  it('a name that an open transaction stores holds up a call for a moment, and is asked for again', async () => {
    const by = await worker()
    const [claim, free] = [await start(by), await start(by)]
    const { tx } = await begin()
    await log.rememberInside(newStep(claim), by, tx)
    const steps = [newStep(claim), newStep(free), newStep(claim, 'ship')]
    expect(await log.remember(steps, by)).toEqual(['again', 'kept', 'kept'])
    await tx.query('commit')
    expect(await log.remember(steps, by)).toEqual(['already', 'already', 'already'])
    await settle(by, claim)
    await settle(by, free)
  })

  it('an older run that wakes up does not store what a newer one has stored', async () => {
    const old = await worker()
    const claim = await start(old)
    await lose(old)
    await sweepLost(await stage.client())
    const by = await worker()
    const second = await take(by)
    const [late, now] = [await begin(), await begin()]
    await act(now.tx, claim, 'new')
    await log.rememberInside(newStep(second), by, now.tx)
    await act(late.tx, claim, 'old')
    await expect(log.rememberInside(newStep(claim), old, late.tx)).rejects.toMatchObject({
      code: 'E_CLAIM_LOST',
    })
    await late.tx.query('rollback')
    await now.tx.query('commit')
    expect(await effects(claim)).toEqual(['new'])
    await settle(by, second)
  })

  it('a message that is not committed is none, and its job goes on after the commit', async () => {
    const by = await worker()
    const claim = await start(by)
    const { tx } = await begin()
    expect(await log.send([newMessage(claim.id)], { tx })).toEqual({ sent: ['sent'], tickets: [] })
    // Nobody waits for that transaction.
    expect(await suspend(by, claim, approval())).toMatchObject([{ result: 'settled', state: 'suspended' }])
    expect(await log.passNotes(100)).toEqual([])
    await tx.query('commit')
    expect(await log.passNotes(100)).toMatchObject([{ id: claim.id }])
    expect(await told(claim.id)).toEqual(['approval message'])
    expect(await story(claim.id)).toEqual(['dispatched', 'started', 'suspended', 'received', 'resumed'])
    expect(await notes()).toEqual([])
    await settle(by, await take(by))
  })

  it('a sender does not wait for a job that somebody has locked: a note tells it later', async () => {
    const by = await worker()
    const claim = await start(by)
    await suspend(by, claim, approval())
    const { tx } = await begin()
    await tx.query(`select from ${stage.schema}.live where id = $1 for update`, [claim.id])
    expect(await log.send([newMessage(claim.id)])).toEqual({ sent: ['sent'], tickets: [] })
    expect(await log.passNotes(100)).toEqual([])
    await tx.query('rollback')
    expect(await log.passNotes(100)).toMatchObject([{ id: claim.id }])
    expect(await notes()).toEqual([])
    await settle(by, await take(by))
  })

  it('a row that a later transaction has written is left to one that is later still', async () => {
    const by = await worker()
    const claim = await start(by)
    const { tx } = await begin()
    await tx.query('select pg_current_xact_id()')
    await suspend(by, claim, approval())
    await stage.sql(`update errand.live set run_at = errand.clock() where id = $1`, [claim.id])
    await log.send([newMessage(claim.id)], { tx })
    const call = async (rule: string, ...values: unknown[]): Promise<unknown[]> =>
      (await tx.query(`select * from ${stage.schema}.${rule}`, values)).rows
    expect(await call('receive_noted_v1(100, now())')).toEqual([])
    expect(await call(`sweep_due_v1(100, ${stage.schema}.clock())`)).toEqual([])
    await tx.query('commit')
    expect(await log.passNotes(100)).toMatchObject([{ id: claim.id }])
    const events = await log.readHistory(claim.id)
    expect(events.map(({ version }) => version)).toEqual(events.map((_, index) => index + 1))
    // Followers read in the order of transactions, and see the versions in theirs.
    const rows = await stage.sql(`select version from errand.job_events where job_id = $1 order by tx, seq`, [
      claim.id,
    ])
    expect(rows.map(({ version }) => version)).toEqual(events.map(({ version }) => version))
    await settle(by, await take(by))
  })

  it('jobs that are suspended while messages to them are sent go on once, and none is lost or taken twice', async () => {
    const by = await worker()
    const rounds = 8
    const each = 6
    const whole = (most: number): number => Math.floor(Math.random() * (most + 1))
    const helper = stage.open({ poolSize: 2 })
    const ids: string[] = []
    const over = new AbortController()
    const sweeper = (async (): Promise<void> => {
      while (!over.signal.aborted) {
        await helper.passNotes(100)
        await helper.sweep({ limit: 100, republish: false, queues: [queue], skipQueues: [] })
        await sleep(whole(10))
      }
    })()
    const senders = await Promise.all(Array.from({ length: each }, () => stage.client()))
    for (let round = 0; round < rounds; round++) {
      await log.append(Array.from({ length: each }, () => newJob({ queue })))
      const claims = await log.take([queue], each, by, randomUUID())
      expect(claims).toHaveLength(each)
      ids.push(...claims.map(({ id }) => id))
      await Promise.all(
        claims.flatMap((claim, index) => [
          (async () => {
            await sleep(whole(15))
            const [settled] = await suspend(by, claim, approval())
            expect(settled).toMatchObject({ result: 'settled' })
          })(),
          (async () => {
            const tx = senders[index]!
            await sleep(whole(10))
            if (index % 3 === 0) {
              await log.send([newMessage(claim.id)])
              return
            }
            await tx.query('begin')
            await log.send([newMessage(claim.id)], { tx })
            await sleep(whole(15))
            await tx.query('commit')
          })(),
        ]),
      )
      const ready = async (): Promise<boolean> =>
        (await Promise.all(claims.map(({ id }) => log.get(id)))).every((job) => job?.state === 'ready')
      await until(ready, { what: 'all jobs go on' })
      for (const { id } of claims) {
        expect(await story(id)).toEqual(['dispatched', 'started', 'suspended', 'received', 'resumed'])
        expect(await log.memory(id)).toMatchObject({
          steps: [{ name: 'approval', by: 'message' }],
          messages: [],
        })
      }
      const again = await log.take([queue], each, by, randomUUID())
      await log.settle(
        again.map((claim) => settlement(claim, outcomes.succeed())),
        by,
      )
    }
    over.abort()
    await sweeper
    expect(await notes()).toEqual([])
    const events = (await Promise.all(ids.map((id) => log.readHistory(id)))).flat()
    expect(checkHistory({ events, dispatched: ids })).toEqual([])
  })

  it('of a message and a time that come together one ends the wait, and the job goes on once', async () => {
    const by = await worker()
    const rounds = 12
    const each = 5
    const found = new Set<string>()
    const helper = stage.open({ poolSize: 2 })
    for (let round = 0; round < rounds; round++) {
      await log.append(Array.from({ length: each }, () => newJob({ queue })))
      const claims = await log.take([queue], each, by, randomUUID())
      await log.settle(
        claims.map((claim) =>
          settlement(claim, { kind: 'suspend', waits: [approval(hourMs)], memoryVersion: 0 }),
        ),
        by,
      )
      await stage.sql(
        `with put as (update errand.steps set until = errand.clock() where job_id = any ($1))
         update errand.live set run_at = errand.clock() where id = any ($1)`,
        [claims.map(({ id }) => id)],
      )
      await Promise.all([
        sleep(round % 3).then(() =>
          helper.sweep({ limit: 100, republish: false, queues: [queue], skipQueues: [] }),
        ),
        ...claims.map(({ id }) => log.send([newMessage(id)])),
      ])
      await log.passNotes(100)
      for (const { id } of claims) {
        const { steps, messages } = await log.memory(id)
        expect(steps).toMatchObject([{ name: 'approval', order: 1 }])
        const isTaken = steps[0]!.by === 'message'
        found.add(steps[0]!.by!)
        expect(messages).toHaveLength(isTaken ? 0 : 1)
        expect(await story(id)).toEqual([
          'dispatched',
          'started',
          'suspended',
          ...(isTaken ? ['received'] : []),
          'resumed',
        ])
      }
      const again = await log.take([queue], each, by, randomUUID())
      expect(again).toHaveLength(each)
      await log.settle(
        again.map((claim) => settlement(claim, outcomes.succeed())),
        by,
      )
    }
    expect(await notes()).toEqual([])
    expect([...found].toSorted()).toEqual(['message', 'time'])
  })
})
