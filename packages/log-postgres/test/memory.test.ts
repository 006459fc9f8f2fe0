import type { Client } from 'pg'
import { beforeAll, expect, it } from 'vitest'
import type { Fence } from '@errand/core/ports'
import { encoded } from '@errand/testkit'
import { MemoryScene, newStep, waits } from './memory-scene.ts'
import { describeOnPostgres } from './stage.ts'

/** What one writer at a time cannot show: steps whose transactions are open while others look at the same job. */
describeOnPostgres('steps in open transactions', ({ stage, log }) => {
  const on = new MemoryScene({ stage, log })
  beforeAll(async () => void (await stage.sql('create table errand.ledger (job_id uuid, effect text)')))

  /** An effect of the application. */
  const act = (tx: Client, { id }: Fence, effect: string) =>
    tx.query(`insert into ${stage.schema}.ledger values ($1, $2)`, [id, effect])
  const effects = async ({ id }: Fence): Promise<unknown[]> =>
    (await stage.sql('select effect from errand.ledger where job_id = $1', [id])).map(({ effect }) => effect)
  const lost = { code: 'E_CLAIM_LOST' }

  it('a sweep passes over a run with an open step, and takes it after the commit', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    const sweeper = await stage.client()
    expect(await log.recall(claim, 'charge', by, tx)).toBeUndefined()
    await act(tx, claim, 'charged')
    await log.rememberInside(newStep(claim), by, tx)
    await on.loseLease(by)
    expect(await on.sweepLost(sweeper)).toEqual([])
    await tx.query('commit')
    expect(await on.sweepLost(sweeper)).toEqual([claim.id])

    const next = await on.worker()
    const second = await on.takeOne(next)
    const again = await on.begin()
    expect(await log.recall(second, 'charge', next, again.tx)).toMatchObject({
      name: 'charge',
      kind: 'step',
      order: 1,
      run: 1,
      body: encoded('charge'),
    })
    await again.tx.query('rollback')
    expect(await effects(claim)).toEqual(['charged'])
    await on.settle(next, [second])
  })

  it('a step whose run a sweep has just taken waits for it, and rolls back with its effect', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    await on.loseLease(by)
    const sweeper = await on.begin()
    expect(await on.sweepLost(sweeper.tx)).toEqual([claim.id])
    const step = await on.begin()
    await act(step.tx, claim, 'charged')
    const kept = expect(log.rememberInside(newStep(claim), by, step.tx)).rejects.toMatchObject(lost)
    await step.waits()
    await sweeper.tx.query('commit')
    await kept
    await expect(step.tx.query('select 1')).rejects.toThrowError(/aborted/)
    await step.tx.query('commit')
    expect(await effects(claim)).toEqual([])
    expect(await on.told(claim.id)).toEqual([])
    const next = await on.worker()
    await on.settle(next, await on.take(next, 1))
  })

  it('a cancellation waits for an open step, and then asks the run to end', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    await log.rememberInside(newStep(claim), by, tx)
    const cancelled = log.cancel([claim.id], { by: 'ada' })
    await on.isWaiting('cancel')
    await tx.query('commit')
    expect(await cancelled).toMatchObject({ cancelled: 0, requested: 1 })
    expect(await on.told(claim.id)).toEqual(['charge kept'])
    expect(await on.suspend(by, claim, waits.approval())).toMatchObject({ state: 'cancelled' })
    expect(await on.told(claim.id)).toEqual(['charge kept'])
  })

  it('steps of one job do not wait for each other, and the end of their run waits for them', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    await log.rememberInside(newStep(claim), by, tx)
    expect(await log.remember([newStep(claim, 'ship')], by)).toEqual(['kept'])
    const other = await on.begin()
    await log.rememberInside(newStep(claim, 'tell'), by, other.tx)
    await other.tx.query('commit')
    const suspended = on.suspend(by, claim, waits.rest)
    await on.isWaiting('settle')
    await tx.query('commit')
    expect(await suspended).toMatchObject({ state: 'suspended' })
    expect(await on.told(claim.id)).toEqual(['charge kept', 'ship kept', 'tell kept', 'rest open'])
    await log.cancel([claim.id], { by: 'ada' })
  })

  it.for(['commit', 'rollback'] as const)(
    'two transactions store one name: after a %s of the first, for which it waits, one has acted',
    async (how) => {
      const by = await on.worker()
      const claim = await on.start(by)
      const first = await on.begin()
      const second = await on.begin()
      await act(first.tx, claim, 'first')
      await log.rememberInside(newStep(claim), by, first.tx)
      await act(second.tx, claim, 'second')
      const kept = log.rememberInside(newStep(claim), by, second.tx).then(
        () => 'kept',
        (error: { code: string }) => error.code,
      )
      await second.waits()
      await first.tx.query(how)
      expect(await kept).toBe(how === 'commit' ? lost.code : 'kept')
      await second.tx.query('commit')
      expect(await effects(claim)).toEqual([how === 'commit' ? 'first' : 'second'])
      expect(await on.told(claim.id)).toEqual(['charge kept'])
      await on.settle(by, [claim])
    },
  )

  it('a name that an open transaction stores holds up a call for a moment, and is asked for again', async () => {
    const by = await on.worker()
    const [claim, free] = [await on.start(by), await on.start(by)]
    const { tx } = await on.begin()
    await log.rememberInside(newStep(claim), by, tx)
    const steps = [newStep(claim), newStep(free), newStep(claim, 'ship')]
    expect(await log.remember(steps, by)).toEqual(['again', 'kept', 'kept'])
    await tx.query('commit')
    expect(await log.remember(steps, by)).toEqual(['already', 'already', 'already'])
    await on.settle(by, [claim, free])
  })

  it('a run that wakes up late does not store what a newer one has stored', async () => {
    const old = await on.worker()
    const claim = await on.start(old)
    await on.loseLease(old)
    expect(await on.sweepLost(await stage.client())).toEqual([claim.id])
    const by = await on.worker()
    const second = await on.takeOne(by)
    const [late, now] = [await on.begin(), await on.begin()]
    await act(now.tx, claim, 'new')
    await log.rememberInside(newStep(second), by, now.tx)
    await act(late.tx, claim, 'old')
    await expect(log.rememberInside(newStep(claim), old, late.tx)).rejects.toMatchObject(lost)
    await late.tx.query('commit')
    await now.tx.query('commit')
    expect(await effects(claim)).toEqual(['new'])
    await on.settle(by, [second])
  })
})
