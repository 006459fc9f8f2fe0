import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { NewJob, WorkerRef } from '@errand/core/ports'
import { checkHistory, newJob, outcomes, recorded, settlement, until, workerRef } from '@errand/testkit'
import { describeOnPostgres } from './stage.ts'

describeOnPostgres('many connections at once', ({ stage, log }) => {
  const queue = 'many'
  const jobs = (count: number, overrides: (index: number) => Partial<NewJob> = () => ({})): NewJob[] =>
    Array.from({ length: count }, (_, index) => newJob({ queue, ...overrides(index) }))
  const worker = async (): Promise<WorkerRef> => {
    const by = workerRef({ leaseMs: 120_000 })
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
    return by
  }
  const shuffled = <T>(items: readonly T[]): T[] =>
    items
      .map((item) => [Math.random(), item] as const)
      .toSorted(([a], [b]) => a - b)
      .map(([, item]) => item)

  it('duplicated tickets in random order deadlock nobody, and each job has one winner', async () => {
    const claimants = await Promise.all(
      Array.from({ length: 8 }, async () => ({ client: await stage.client(), by: await worker() })),
    )
    for (let round = 0; round < 5; round++) {
      const dispatched = jobs(400)
      const ids = dispatched.map(({ id }) => id)
      await log.append(dispatched)
      // The functions themselves, without the log's repetition: a deadlock would be an error here.
      const granted = await Promise.all(
        claimants.map(async ({ client, by }) => {
          const { rows } = await client.query<{ verdict: string; id: string }>(
            `select verdict, id from ${stage.schema}.claim_v1($1, 400, $2, $3, 1000, '{}')`,
            [shuffled(ids), by.id, randomUUID()],
          )
          return rows.filter(({ verdict }) => verdict === 'run').map(({ id }) => id)
        }),
      )
      expect(granted.flat().toSorted()).toEqual(ids.toSorted())
    }
  })

  it('a tick passes over a schedule that a transaction holds, and does not wait for it', async () => {
    const names = ['held', 'free']
    const to = { dueAt: 1, job: 'a', isDeclared: false, declaredBy: undefined, body: '{}' }
    await log.saveSchedules(names.map((name) => ({ name, after: 0, to })))
    const { schedules } = await log.readSchedules(names)
    const client = await stage.client()
    await client.query('begin')
    await client.query(`select from ${stage.schema}.schedules where name = 'held' for update`)
    // The function itself, with a wait that would end in an error.
    const saved = await stage.sql(
      `select errand.save_schedules_v1($1, $2, null, '{a,a}', '{f,f}', null, '{1,2}', '2s') as name`,
      [schedules.map(({ name }) => name), schedules.map(({ revision }) => revision)],
    )
    expect(saved).toEqual([{ name: 'free' }])
    await client.query('rollback')
  })

  it('a grace that starts over keeps no claim waiting, and waits for none', async () => {
    const by = await worker()
    const patient = (count: number): NewJob[] =>
      jobs(count, () => ({ queue: 'patient', publishGraceMs: 3_600_000 }))
    const client = await stage.client()
    await log.append(patient(20))
    await client.query('begin')
    await client.query(`select ${stage.schema}.expedite_v1('{patient}', 12, 0)`)
    expect(await log.take(['patient'], 20, by, randomUUID())).toHaveLength(8)
    await client.query('commit')

    const [held, ...others] = patient(5)
    await log.append([held!, ...others])
    await client.query('begin')
    await client.query(`select from ${stage.schema}.live where id = $1 for update`, [held!.id])
    expect(await log.expedite(['patient'], { limit: 100 })).toEqual({ jobs: 4, more: false })
    await client.query('rollback')
  })

  it('a transaction whose number is older than a job’s last event writes no event after it', async () => {
    const [by, client] = [await worker(), await stage.client()]
    const [holder, next] = jobs(2, () => ({ queue: 'late', ordering: { key: 'k', onFailure: 'block' } }))
    const [plain] = jobs(1, () => ({ queue: 'late', lane: 'low' }))
    await log.append([holder!])
    const [claim] = await log.take(['late'], 1, by, randomUUID())

    await client.query('begin')
    await client.query('select pg_current_xact_id()')
    await log.append([next!, plain!])
    const take = `select id from ${stage.schema}.take_v1('{late}', 9, $1, $2, 1000, '{}', 0, false, null) where id is not null`
    expect((await client.query(take, [by.id, randomUUID()])).rows).toEqual([])
    const { rows } = await client.query<{ answer: string }>(
      `select ${stage.schema}.settle_v1($1, '{1}', '{1}', null, null, null, null, null, $2, null) as answer`,
      [`{${claim!.id}}`, by.id],
    )
    expect(rows[0]?.answer.split('\n').map((line) => line.split('\t')[0])).toEqual(['settled', 'pending'])
    await client.query('commit')

    expect((await log.passNotes(10)).map(({ id }) => id)).toEqual([next!.id])
    expect((await log.take(['late'], 9, by, randomUUID())).map(({ id }) => id).toSorted()).toEqual(
      [next!.id, plain!.id].toSorted(),
    )
    const ordered = await stage.sql(
      `select version from errand.job_events where job_id = '${next!.id}' order by tx, seq`,
    )
    expect(ordered.map(({ version }) => version)).toEqual([1, 2, 3])
  })

  describe('a transaction that has had its number before the last event of a job', () => {
    /** A job whose last event is younger than the number of a transaction that is open: of the client given. */
    const late = async (to: 'ready' | 'running' | 'failed' | 'succeeded' | 'scheduled') => {
      const [by, client] = [await worker(), await stage.client()]
      await client.query('begin')
      await client.query('select pg_current_xact_id()')
      const held = { key: randomUUID(), onFailure: 'block' } as const
      const [job] = jobs(1, () => ({
        ...(to === 'failed' ? { ordering: held } : {}),
        ...(to === 'scheduled' ? { due: { delayMs: 1 } } : {}),
        publishGraceMs: 0,
      }))
      await log.append([job!])
      const id = job!.id
      if (to === 'scheduled' || to === 'ready') return { by, client, id }
      const [claim] = await log.claim([{ id, queue, lane: 'normal', log: logId }], 1, by, randomUUID())
      if (claim?.verdict !== 'run') throw new Error('it was not granted')
      if (to === 'failed') await log.settle([settlement(claim.claim, outcomes.fail())], by)
      if (to === 'succeeded') await log.settle([settlement(claim.claim, outcomes.succeed())], by)
      return { by, client, id }
    }
    let logId: string
    beforeAll(async () => {
      logId = (await log.connect()).logId
    })
    const inOrder = async (id: string): Promise<string[]> => {
      const rows = await stage.sql(
        `select version, type from errand.job_events where job_id = '${id}' order by tx, seq`,
      )
      expect(rows.map(({ version }) => version)).toEqual(rows.map((_, index) => index + 1))
      return rows.map(({ type }) => String(type))
    }

    it('passes its job over: it grants, settles, loses and makes due only what is older', async () => {
      const ready = await late('ready')
      const call = async (client: Client, text: string, values: readonly unknown[] = []) =>
        (
          await client.query<Record<string, unknown>>(text.replaceAll('errand.', `${stage.schema}.`), [
            ...values,
          ])
        ).rows
      const claim = `select verdict from errand.claim_v1($1, 1, $2, $3, 1000, '{}')`
      expect(await call(ready.client, claim, [[ready.id], ready.by.id, randomUUID()])).toEqual([
        { verdict: 'again' },
      ])
      const overdue = `select id from errand.take_v1('{${queue}}', 1000, $1, $2, 1000, '{}', 0, true, null)`
      const taken = await call(ready.client, overdue, [ready.by.id, randomUUID()])
      expect(taken.map(({ id }) => id)).not.toContain(ready.id)

      const running = await late('running')
      const settle = `select errand.settle_v1($1, '{1}', '{1}', null, null, null, null, null, $2, null) as answer`
      expect(await call(running.client, settle, [`{${running.id}}`, running.by.id])).toEqual([
        { answer: `locked\t${running.id}` },
      ])
      const succeed = `select errand.settle_succeeded_v1($1, '{1}', '{null}', '{null}', '{null}', $2) as answer`
      expect(await call(running.client, succeed, [`{${running.id}}`, running.by.id])).toEqual([
        { answer: '' },
      ])
      const lost = `select id from errand.sweep_lost_v1(1000, clock_timestamp() + interval '1 day')`
      expect((await call(running.client, lost)).map(({ id }) => id)).not.toContain(running.id)

      const scheduled = await late('scheduled')
      const due = `select id from errand.sweep_due_v1(1000, clock_timestamp() + interval '1 day')`
      expect((await call(scheduled.client, due)).map(({ id }) => id)).not.toContain(scheduled.id)

      const over = await late('succeeded')
      expect(await call(over.client, settle, [`{${over.id}}`, randomUUID()])).toEqual([
        { answer: `locked\t${over.id}` },
      ])
      for (const { client } of [ready, running, scheduled, over]) await client.query('rollback')
    })

    it.each([
      ['ready', `select * from errand.cancel_v1(array[$1::uuid], '', '1s')`],
      ['running', `select * from errand.cancel_v1(array[$1::uuid], '', '1s')`],
      ['ready', `select * from errand.change_v1($1, 100::smallint, null, null, null, null, '{}', 0, '1s')`],
      ['failed', `select * from errand.skip_v1(array[$1::uuid], '{}', '1s')`],
      ['failed', `select * from errand.replay_v1(array[$1::uuid], '{}', false, '1s')`],
      ['succeeded', `select * from errand.replay_v1(array[$1::uuid], '{}', false, '1s')`],
      [
        'running',
        `select * from errand.beat_v1((select worker from errand.live where id = $1), 'h', 1, null, 120000,
         '{many}', true, null, array[$1::uuid], '{1}', '{50}', '{x}', array['"progress":50'], '{}', null, null, '{}')`,
      ],
    ] as const)('does not touch a %s job, and is begun again: %s', async (state, text) => {
      const { client, id } = await late(state)
      const call = text.replaceAll('errand.', `${stage.schema}.`)
      await expect(client.query(call, [id])).rejects.toMatchObject({ code: '40001' })
      await client.query('rollback')
      await client.query(call, [id])
      await inOrder(id)
    })

    it('completes its job all the same, and the end is read behind all that came before', async () => {
      const { by, client, id } = await late('running')
      const tx = client as never
      await log.beat(by, { queues: [queue], taking: true, progress: [{ id, run: 1, value: 50 }] })
      const followed = await log.read({ job: id, limit: 10 })
      await log.complete({ id, run: 1 }, undefined, by, tx)
      await client.query('commit')
      await inOrder(id)
      const { events } = await log.read({ job: id, after: followed.next, limit: 10 })
      expect(events.map(({ type }) => type)).toEqual(['succeeded'])
    })
  })

  it('dispatches with keys and unique keys in any order deadlock nobody', async () => {
    const before = await stage.sql(
      'select deadlocks::int from pg_stat_database where datname = current_database()',
    )
    const logs = [log, stage.open(), stage.open()]
    const batches = Array.from({ length: 12 }, () =>
      shuffled(
        jobs(20, (index) => ({
          queue: 'locked',
          ordering: { key: `k${index % 7}`, onFailure: 'skip' },
          unique: { key: `u${index % 5}`, until: 'finished' },
        })),
      ),
    )
    const answers = await Promise.all(batches.map((batch, index) => logs[index % 3]!.append(batch)))
    const added = answers.flat().filter(({ status }) => status === 'added')
    expect(added).toHaveLength(5)
    expect(answers.flat().every(({ id }) => added.some((one) => one.id === id))).toBe(true)
    // Statistics come late; that they come at all shows in the other tests of this file. No victim was repeated here.
    const after = await stage.sql(
      'select deadlocks::int from pg_stat_database where datname = current_database()',
    )
    expect(after).toEqual(before)
  })

  it('a dispatch whose key a transaction holds for too long is refused alone; others are stored and wake', async () => {
    const client = new Client({ connectionString: stage.url })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query('begin')
    const keyed = (key: string): NewJob => newJob({ queue, ordering: { key, onFailure: 'block' } })
    await log.append([keyed('held')], { tx: client as never })

    const other = keyed('free')
    const stop = new AbortController()
    let found = false
    const listening = (async () => {
      for await (const _ of stage.open().wakeups([`queue:${queue}`], stop.signal)) {
        if ((await log.get(other.id)) !== undefined) found = true
      }
    })()
    const answers = await log.append([keyed('held'), other], { wake: [`queue:${queue}`] })
    expect(answers.map(({ status }) => status)).toEqual(['refused', 'added'])
    await until(() => found, { what: 'the other one was found when it was heard of' })
    stop.abort()
    await listening
  })

  it('a fleet that takes and settles one line of keyed jobs keeps their order', async () => {
    const line = jobs(60, (index) => ({
      queue: 'fleet',
      ordering: { key: `k${index % 6}`, onFailure: 'block' },
    }))
    await log.append(line)
    let left = line.length
    await Promise.all(
      [log, stage.open(), stage.open()].map(async (each) => {
        const by = await worker()
        await until(
          async () => {
            const claims = await each.take(['fleet'], 5, by, randomUUID())
            const settled = recorded(
              await each.settle(
                claims.map((claim) => settlement(claim, outcomes.succeed())),
                by,
              ),
            )
            left -= claims.length
            if (settled.some(({ pending }) => pending)) await each.passNotes(100)
            return left === 0
          },
          { withinMs: 20_000 },
        )
      }),
    )
    const events = (await Promise.all(line.map(({ id }) => log.readHistory(id)))).flat()
    expect(checkHistory({ events, dispatched: line.map(({ id }) => ({ id, onFailure: 'block' })) })).toEqual(
      [],
    )
    expect(await stage.sql(`select * from errand.keys where queue = 'fleet'`)).toEqual([])
  })
})
