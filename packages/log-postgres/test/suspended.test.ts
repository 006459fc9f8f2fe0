import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import type { Claim } from '@errand/core/ports'
import { checkHistory, encoded, until } from '@errand/testkit'
import { hourMs, MemoryScene, newMessage, waits } from './memory-scene.ts'
import { describeOnPostgres } from './stage.ts'

/**
 * What one writer at a time cannot show: messages and ends that are not committed while the job that waits for them is suspended.
 * Nobody waits for them, and no job is forgotten.
 */
describeOnPostgres('suspended jobs among open transactions', ({ stage, log }) => {
  const on = new MemoryScene({ stage, log })
  const received = ['dispatched', 'started', 'suspended', 'received', 'resumed']
  const returned = ['dispatched', 'started', 'suspended', 'resumed']
  const whole = (most: number): number => Math.floor(Math.random() * (most + 1))
  /** Handles notes all the time, as a fleet does. */
  const passNotesMeanwhile = (): void => {
    const helper = stage.open({ poolSize: 2 })
    const over = new AbortController()
    const passing = (async (): Promise<void> => {
      while (!over.signal.aborted) {
        await helper.passNotes(100)
        await sleep(whole(10))
      }
    })()
    onTestFinished(() => {
      over.abort()
      return passing
    })
  }

  it('a message that is not committed is none, and its job goes on after the commit', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    expect(await log.send([newMessage(claim.id)], { tx })).toEqual({ sent: ['sent'], tickets: [] })
    expect(await on.suspend(by, claim, waits.approval())).toMatchObject({ state: 'suspended' })
    expect(await on.passNotes()).toEqual([])
    await tx.query('commit')
    expect(await on.passNotes()).toMatchObject([{ id: claim.id }])
    expect(await on.told(claim.id)).toEqual(['approval message'])
    expect(await on.story(claim.id)).toEqual(received)
    expect(await on.notes()).toEqual([])
    await on.settle(by, await on.take(by, 1))
  })

  it('a sender does not wait for a job that somebody has locked: a note tells it later', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    await on.suspend(by, claim, waits.approval())
    const holder = await on.hold(claim)
    expect(await log.send([newMessage(claim.id)])).toEqual({ sent: ['sent'], tickets: [] })
    expect(await on.passNotes()).toEqual([])
    await holder.query('rollback')
    expect(await on.passNotes()).toMatchObject([{ id: claim.id }])
    expect(await on.notes()).toEqual([])
    await on.settle(by, await on.take(by, 1))
  })

  it('a message that comes while a suspension is not committed is found after it', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    await on.suspendInside(tx, by, claim, waits.approval())
    expect(await log.send([newMessage(claim.id)])).toEqual({ sent: ['sent'], tickets: [] })
    await tx.query('commit')
    expect(await on.passNotes()).toMatchObject([{ id: claim.id }])
    expect(await on.story(claim.id)).toEqual(received)
    await on.settle(by, await on.take(by, 1))
  })

  it('a message to a job that was pruned before its commit goes as well', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    await log.send([newMessage(claim.id)], { tx })
    await on.settle(by, [claim])
    await until(async () => {
      await log.prune({ succeededMs: 0, failedMs: hourMs, limit: 100 })
      return (await log.get(claim.id)) === undefined
    })
    await tx.query('commit')
    expect((await log.memory(claim.id)).messages).toHaveLength(1)
    expect(await on.passNotes()).toEqual([])
    expect(await log.memory(claim.id)).toEqual({ steps: [], messages: [] })
    expect(await on.notes()).toEqual([])
  })

  it('a row that a later transaction has written is left to one that is later still', async () => {
    const by = await on.worker()
    const claim = await on.start(by)
    const { tx } = await on.begin()
    await tx.query('select pg_current_xact_id()')
    await on.suspend(by, claim, waits.approval())
    await stage.sql(`update errand.live set run_at = errand.clock() where id = $1`, [claim.id])
    await log.send([newMessage(claim.id)], { tx })
    const rows = async (call: string): Promise<unknown[]> =>
      (await tx.query(`select * from ${stage.schema}.${call}`)).rows
    expect(await rows('receive_noted_v1(100, now())')).toEqual([])
    expect(await rows(`sweep_due_v1(100, ${stage.schema}.clock())`)).toEqual([])
    await tx.query('commit')
    expect(await on.passNotes()).toMatchObject([{ id: claim.id }])
    // Followers read in the order of transactions, and see the versions in theirs.
    const told = await stage.sql(`select version from errand.job_events where job_id = $1 order by tx, seq`, [
      claim.id,
    ])
    expect(told.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5])
    await on.settle(by, await on.take(by, 1))
  })

  it('an end that meets the locked row of a caller is told to it later', async () => {
    const by = await on.worker()
    const [caller, called] = [await on.start(by), await on.start(by)]
    await on.suspend(by, caller, waits.call('print', called.id))
    const holder = await on.hold(caller)
    await on.settle(by, [called])
    expect(await on.passNotes()).toEqual([])
    await holder.query('rollback')
    await until(async () => (await on.passNotes()).some(({ id }) => id === caller.id))
    expect(await on.story(caller.id)).toEqual(returned)
    expect(await on.notes()).toEqual([])
    await on.settle(by, await on.take(by, 1))
  })

  it('a caller whose suspension is not committed when its call ends goes on after the commit', async () => {
    const by = await on.worker()
    const [caller, called] = [await on.start(by), await on.start(by)]
    const call = waits.call('print', called.id)
    await on.suspend(by, caller, call, waits.approval(0))
    // Its call was known before. So nothing but its own row tells that it is suspended again.
    const second = await on.takeOne(by)
    const { tx } = await on.begin()
    await on.suspendInside(tx, by, second, call)
    const ended = on.settle(by, [called])
    await on.isWaiting('settle')
    await tx.query('commit')
    await ended
    await until(async () => {
      await on.passNotes()
      return on.areReady([caller])
    })
    expect(await on.told(caller.id)).toEqual(['approval time', 'print succeeded'])
    await on.settle(by, await on.take(by, 1))
  })

  it('an end in an open transaction is none, and its caller goes on after the commit', async () => {
    const by = await on.worker()
    const [caller, called] = [await on.start(by), await on.start(by)]
    const { tx } = await on.begin()
    await log.complete(called, encoded('done'), by, tx)
    expect(await on.suspend(by, caller, waits.call('print', called.id))).toMatchObject({ state: 'suspended' })
    expect(await on.passNotes()).toEqual([])
    await tx.query('commit')
    await until(async () => (await on.passNotes()).some(({ id }) => id === caller.id))
    const { steps } = await log.memory(caller.id)
    expect(steps).toMatchObject([{ name: 'print', by: 'succeeded', body: encoded('done') }])
    await on.settle(by, await on.take(by, 1))
  })

  it('jobs that are suspended while messages to them are sent go on once, and none is lost or taken twice', async () => {
    const by = await on.worker()
    const each = 6
    const ids: string[] = []
    passNotesMeanwhile()
    const senders = await Promise.all(Array.from({ length: each }, () => stage.client()))
    const send = async (job: string, tx: Client | undefined): Promise<void> => {
      await sleep(whole(10))
      if (!tx) return void (await log.send([newMessage(job)]))
      await tx.query('begin')
      await log.send([newMessage(job)], { tx })
      await sleep(whole(15))
      await tx.query('commit')
    }
    for (let round = 0; round < 8; round++) {
      await on.add(each)
      const claims = await on.take(by, each)
      ids.push(...claims.map(({ id }) => id))
      await Promise.all(
        claims.flatMap((claim, index) => [
          sleep(whole(15)).then(() => on.suspend(by, claim, waits.approval())),
          send(claim.id, index % 3 === 0 ? undefined : senders[index]),
        ]),
      )
      await until(() => on.areReady(claims), { what: 'all jobs go on' })
      for (const { id } of claims) {
        expect(await on.story(id)).toEqual(received)
        expect(await log.memory(id)).toMatchObject({
          steps: [{ name: 'approval', by: 'message' }],
          messages: [],
        })
      }
      await on.settle(by, await on.take(by, each))
    }
    await until(async () => (await on.notes()).length === 0)
    const events = (await Promise.all(ids.map((id) => log.readHistory(id)))).flat()
    expect(checkHistory({ events, dispatched: ids })).toEqual([])
  })

  it('callers that are suspended while what they call ends go on, whoever of the two was first', async () => {
    const by = await on.worker()
    const each = 5
    const others = stage.open({ poolSize: 2 })
    passNotesMeanwhile()
    const clients = await Promise.all(Array.from({ length: each }, () => stage.client()))
    const end = async (claim: Claim, tx: Client | undefined): Promise<void> => {
      await sleep(whole(15))
      if (!tx) return void (await on.settle(by, [claim]))
      await tx.query('begin')
      await others.complete(claim, encoded(claim.id), by, tx)
      await sleep(whole(10))
      await tx.query('commit')
    }
    for (let round = 0; round < 6; round++) {
      await on.add(3 * each)
      const claims = await on.take(by, 3 * each)
      const callers = claims.slice(0, each)
      // The second call ends while its caller runs again, or is about to wait for it once more.
      for (const nth of [1, 2]) {
        const running = nth === 1 ? callers : await on.take(by, each)
        await Promise.all(
          running.flatMap((caller) => {
            const index = callers.findIndex(({ id }) => id === caller.id)
            const called = [1, 2].map((at) => claims[at * each + index]!)
            const calls = called.map(({ id }, at) => waits.call(`call/${at + 1}`, id))
            return [
              sleep(whole(15)).then(() => on.suspend(by, caller, ...calls.slice(nth - 1))),
              end(called[nth - 1]!, index % 2 === 0 ? clients[index] : undefined),
            ]
          }),
        )
        await until(() => on.areReady(callers), { what: 'all callers go on' })
      }
      for (const [index, { id }] of callers.entries()) {
        expect(await on.told(id)).toEqual(['call/1 succeeded', 'call/2 succeeded'])
        const body = index % 2 === 0 ? encoded(claims[each + index]!.id) : undefined
        expect((await log.memory(id)).steps[0]!.body).toEqual(body)
      }
      await on.settle(by, await on.take(by, each))
    }
    await until(async () => (await on.notes()).length === 0)
    expect(await stage.sql('select name from errand.needs where done is null')).toEqual([])
  })

  it('of a message and a time that come together one ends the wait, and the job goes on once', async () => {
    const by = await on.worker()
    const each = 5
    const found = new Set<string>()
    const helper = stage.open({ poolSize: 2 })
    for (let round = 0; round < 12; round++) {
      await on.add(each)
      const claims = await on.take(by, each)
      await on.settle(by, claims, { kind: 'suspend', waits: [waits.approval(hourMs)], memoryVersion: 0 })
      await stage.sql(
        `with put as (update errand.steps set until = errand.clock() where job_id = any ($1))
         update errand.live set run_at = errand.clock() where id = any ($1)`,
        [claims.map(({ id }) => id)],
      )
      const sweep = { limit: 100, republish: false, queues: [], skipQueues: [] }
      await Promise.all([
        sleep(round % 3).then(() => helper.sweep(sweep)),
        ...claims.map(({ id }) => log.send([newMessage(id)])),
      ])
      await on.passNotes()
      for (const { id } of claims) {
        const { steps, messages } = await log.memory(id)
        expect(steps).toMatchObject([{ name: 'approval', order: 1 }])
        const isTaken = steps[0]!.by === 'message'
        found.add(steps[0]!.by!)
        expect(messages).toHaveLength(isTaken ? 0 : 1)
        expect(await on.story(id)).toEqual(isTaken ? received : returned)
      }
      await on.settle(by, await on.take(by, each))
    }
    expect(await on.notes()).toEqual([])
    expect([...found].toSorted()).toEqual(['message', 'time'])
  })
})
