import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { Claim, JobLog, NewJob, WorkerRef } from '@errand/core/ports'
import { newJob, outcomes, recorded, settlement, until, workerRef } from '@errand/testkit'
import { eventCode, stateCode } from '../src/codes.ts'
import { describeOnPostgres } from './stage.ts'

const queue = 'q'
const whole = (most: number): number => Math.floor(Math.random() * (most + 1))
const needs = (...parents: readonly { readonly id: string }[]): Pick<NewJob, 'needs'> => ({
  needs: parents.map(({ id }) => ({ on: id, mode: 'succeeded' })),
})

/** What one writer at a time cannot show: the ends of needed jobs, and new needs on them, in transactions that do not see each other. */
describeOnPostgres('needs under many transactions at a time', ({ stage, log }) => {
  async function worker(own: JobLog): Promise<WorkerRef> {
    const by = workerRef({ leaseMs: 600_000 })
    await own.beat(by, { queues: [queue], taking: true, progress: [] })
    return by
  }

  async function claimOf(own: JobLog, by: WorkerRef, { id }: NewJob): Promise<Claim> {
    const { logId } = await own.connect()
    const [verdict] = await own.claim([{ id, queue, lane: 'normal', log: logId }], 1, by, randomUUID())
    if (verdict?.verdict !== 'run') throw new Error(`job ${id} was not granted`)
    return verdict.claim
  }

  const count = async (what: string): Promise<number> =>
    Number((await stage.sql(`select count(*)::int as n from ${what}`))[0]?.['n'])
  const state = async ({ id }: NewJob): Promise<unknown> => (await log.get(id))?.state
  const countUnblocked = (ids: readonly string[]): Promise<number> =>
    count(`errand.job_events where type = ${eventCode.unblocked} and job_id = any ('{${ids.join()}}')`)

  it('jobs that need others which settle meanwhile all run once, and nothing is left', async () => {
    const over = new AbortController()
    const parents: NewJob[] = []
    const children: string[] = []
    const dispatcher = async (own: JobLog, held: boolean): Promise<void> => {
      const client = held ? await stage.client() : undefined
      for (let left = 40; left > 0; left -= 1) {
        const more = Array.from({ length: 1 + whole(2) }, () => newJob({ queue }))
        await own.append(more)
        parents.push(...more)
        const last = parents.slice(-12)
        const wanted = [...new Set(Array.from({ length: 1 + whole(3) }, () => last[whole(last.length - 1)]!))]
        const child = newJob({ queue, ...needs(...wanted) })
        children.push(child.id)
        if (client) {
          await client.query('begin')
          await own.append([child], { tx: client })
          await sleep(whole(25))
          await client.query('commit')
        } else await own.append([child])
      }
    }
    const work = async (own: JobLog): Promise<void> => {
      const by = await worker(own)
      while (!over.signal.aborted) {
        const claims = await own.take([queue], 1 + whole(5), by, randomUUID())
        if (claims.length === 0) await sleep(1)
        else {
          await sleep(whole(4))
          recorded(
            await own.settle(
              claims.map((claim) => settlement(claim, outcomes.succeed())),
              by,
            ),
          )
        }
      }
    }
    const passer = async (own: JobLog): Promise<void> => {
      while (!over.signal.aborted) {
        await own.passNotes(100)
        await sleep(5)
      }
    }
    const helpers = [
      ...Array.from({ length: 3 }, () => work(stage.open({ poolSize: 2 }))),
      passer(stage.open({ poolSize: 2 })),
    ]
    await Promise.all(
      Array.from({ length: 4 }, (_, n) => dispatcher(stage.open({ poolSize: 2 }), n % 2 === 0)),
    )
    await until(async () => (await count('errand.live')) === 0, { what: 'all jobs have run' })
    over.abort()
    await Promise.all(helpers)

    expect(await count(`errand.ended where state <> ${stateCode.succeeded}`)).toBe(0)
    expect(await count('errand.needs where done is null')).toBe(0)
    expect(await countUnblocked(children)).toBeLessThanOrEqual(children.length)
    const twice = `(select job_id from errand.job_events where type = ${eventCode.unblocked} group by job_id having count(*) > 1) t`
    expect(await count(twice)).toBe(0)
    await log.passNotes(1_000)
    expect(await stage.sql('select * from errand.work_notes')).toEqual([])
  })

  it('a key and a need that come free in two open transactions let their job go once', async () => {
    const by = await worker(log)
    const settle = (claim: Claim): [text: string, values: unknown[]] => [
      `select ${stage.schema}.settle_succeeded_v1($1, '{1}', '{NULL}', '{NULL}', '{1}', $2)`,
      [`{${claim.id}}`, by.id],
    ]
    const [one, two] = [await stage.client(), await stage.client()]
    for (let turn = 0; turn < 20; turn += 1) {
      const ordering = { key: randomUUID(), onFailure: 'block' } as const
      const [before, parent] = [newJob({ queue, ordering }), newJob({ queue })]
      const child = newJob({ queue, ordering, ...needs(parent) })
      await log.append([before, parent, child])
      const claims = [await claimOf(log, by, before), await claimOf(log, by, parent)]
      if (turn % 2 === 1) claims.reverse()
      await one.query('begin')
      await two.query('begin')
      await one.query(...settle(claims[0]!))
      await two.query(...settle(claims[1]!))
      await (turn % 4 < 2 ? one : two).query('commit')
      await (turn % 4 < 2 ? two : one).query('commit')
      // The notes are all that helps: nothing else looks at the job again.
      await until(
        async () => {
          await log.passNotes(10)
          return (await state(child)) === 'ready'
        },
        { what: `the job of turn ${turn} is ready`, withinMs: 3_000 },
      )
      expect(await countUnblocked([child.id])).toBe(1)
      await log.settle([settlement(await claimOf(log, by, child), outcomes.succeed())], by)
    }
  })

  it('an end that comes while a need on it is being stored waits a little, and then sees it', async () => {
    const by = await worker(log)
    const parent = newJob({ queue })
    const child = newJob({ queue, ...needs(parent) })
    await log.append([parent])
    const claim = await claimOf(log, by, parent)
    const client = await stage.client()
    const [{ pid } = {}] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
    // The fast path, however slow the machine is.
    await stage.sql(
      `alter function errand.settle_succeeded_v1(text, text, text, text, text, text) set lock_timeout to '10s'`,
    )
    await client.query('begin')
    // As an append outside of a transaction does it, which is over in a moment.
    await client.query(
      `select ${stage.schema}.link_needs_v1(array[$1::uuid], array[$2::uuid], '{1}', array[null::text], array[$1::uuid], false)`,
      [child.id, parent.id],
    )
    const settled = log.settle([settlement(claim, outcomes.succeed())], by)
    await until(
      async () => (await count(`pg_stat_activity where ${pid} = any (pg_blocking_pids(pid))`)) > 0,
      {
        what: 'the end waits',
      },
    )
    await client.query('commit')
    expect(recorded(await settled)).toMatchObject([{ state: 'succeeded' }])
    expect(await log.needs(child.id)).toMatchObject([{ state: 'succeeded' }])
  })

  it('a dispatch in an open transaction holds up no end and no claim of what it needs', async () => {
    const by = await worker(log)
    const parents = [newJob({ queue }), newJob({ queue })]
    await log.append(parents)
    const running = await claimOf(log, by, parents[0]!)
    const client = await stage.client()
    await client.query('begin')
    const child = newJob({ queue, ...needs(...parents) })
    await log.append([child], { tx: client })
    const at = performance.now()
    await log.settle([settlement(running, outcomes.succeed())], by)
    await log.settle([settlement(await claimOf(log, by, parents[1]!), outcomes.succeed())], by)
    expect(performance.now() - at).toBeLessThan(1_000)
    expect(await log.passNotes(10)).toEqual([])
    await client.query('commit')
    expect((await log.passNotes(10)).map(({ id }) => id)).toEqual([child.id])
  })

  it('a job that somebody has locked delays no other note, and goes when it is free', async () => {
    const by = await worker(log)
    const client = await stage.client()
    const pair = async (): Promise<readonly [NewJob, NewJob]> => {
      const parent = newJob({ queue })
      const child = newJob({ queue, ...needs(parent) })
      await log.append([parent, child])
      return [parent, child]
    }
    const end = async (job: NewJob): Promise<void> => {
      await log.settle([settlement(await claimOf(log, by, job), outcomes.succeed())], by)
    }
    const locked = await Promise.all(Array.from({ length: 6 }, pair))
    await client.query('begin')
    const ids = locked.map(([, child]) => child.id)
    await client.query(`select from ${stage.schema}.live where id = any ($1) for update`, [ids])
    for (const [parent] of locked) await end(parent)
    // Their notes come back later and later, and not with each pass.
    for (let pass = 0; pass < 60; pass += 1) expect(await log.passNotes(6)).toEqual([])
    expect(await count('errand.work_notes where tries between 1 and 15')).toBe(6)

    const [parent, child] = await pair()
    await client.query(`savepoint other`)
    await client.query(`select from ${stage.schema}.live where id = $1 for update`, [child.id])
    await end(parent)
    await client.query('rollback to other')
    await until(async () => (await log.passNotes(2)).some(({ id }) => id === child.id), {
      what: 'the other job goes',
      withinMs: 3_000,
    })
    await client.query('commit')
    const gone = new Set<string>()
    await until(async () => {
      for (const { id } of await log.passNotes(10)) gone.add(id)
      return ids.every((id) => gone.has(id))
    })
  })
})
