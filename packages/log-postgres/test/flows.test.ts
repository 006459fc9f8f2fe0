import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { expect, it } from 'vitest'
import type { JobLog, NewFlow, NewJob, SettledOutcome, WorkerRef } from '@errand/core/ports'
import { newJob, outcomes, recorded, settlement, until, workerRef } from '@errand/testkit'
import { eventCode, stateCode } from '../src/codes.ts'
import { describeOnPostgres } from './stage.ts'

const queue = 'q'
const whole = (most: number): number => Math.floor(Math.random() * (most + 1))
const newFlow = (overrides: Partial<NewFlow> = {}): NewFlow => ({
  id: randomUUID(),
  allowFailures: 0,
  stopOnFailure: true,
  tags: [],
  meta: {},
  ...overrides,
})
const member = ({ id }: NewFlow): NewJob => newJob({ queue, flow: id })

/** What one writer at a time cannot show: members that end, and members that are added, in transactions that do not see each other. */
describeOnPostgres('flows under many transactions at a time', ({ stage, log }) => {
  const count = async (what: string): Promise<number> =>
    Number((await stage.sql(`select count(*)::int as n from ${what}`))[0]?.['n'])

  async function worker(own: JobLog): Promise<WorkerRef> {
    const by = workerRef({ leaseMs: 600_000 })
    await own.beat(by, { queues: [queue], taking: true, progress: [] })
    return by
  }

  /** Runs whatever is ready, on as many connections, until the flows have ended. `before` comes before the end of each run. */
  async function run(
    flows: readonly NewFlow[],
    workers: number,
    before: (job: string, own: JobLog) => Promise<void> = async () => {},
    outcome: () => SettledOutcome = outcomes.succeed,
  ): Promise<void> {
    const over = new AbortController()
    const work = async (own: JobLog): Promise<void> => {
      const by = await worker(own)
      while (!over.signal.aborted) {
        const claims = await own.take([queue], 1 + whole(9), by, randomUUID())
        if (claims.length === 0) await sleep(2)
        await Promise.all(claims.map(({ id }) => before(id, own)))
        const ends = claims.map((claim) => settlement(claim, outcome()))
        const pending = recorded(await own.settle(ends, by)).some((settled) => settled.pending)
        if (pending) await own.passNotes(100)
      }
    }
    const passer = async (own: JobLog): Promise<void> => {
      while (!over.signal.aborted) {
        await own.passNotes(100)
        await sleep(10)
      }
    }
    const helpers = [
      ...Array.from({ length: workers }, () => work(stage.open({ poolSize: 2 }))),
      passer(stage.open({ poolSize: 2 })),
    ]
    const ids = flows.map(({ id }) => id).join()
    await until(
      async () => (await count(`errand.flows where id = any ('{${ids}}') and ended_at is null`)) === 0,
      {
        what: 'all flows have ended',
      },
    ).finally(() => over.abort())
    await Promise.all(helpers)
  }

  /** Ends of members that stand in the log behind the end of their flow. */
  const late = (): Promise<number> =>
    count(`errand.job_events e join errand.known j on j.id = e.job_id
             join errand.job_events f on f.job_id = j.flow and f.type = ${eventCode.flow_ended}
            where e.type in (${eventCode.succeeded}, ${eventCode.failed}, ${eventCode.cancelled}) and (e.tx, e.seq) > (f.tx, f.seq)`)

  it('a flow whose members add others, also in open transactions, ends once and after all of them', async () => {
    const flows = Array.from({ length: 6 }, () => newFlow())
    const ofMember = new Map<string, NewFlow>()
    const left = new Map(flows.map(({ id }) => [id, 25]))
    const clients = await Promise.all(Array.from({ length: 4 }, () => stage.client()))
    const open: Promise<unknown>[] = []
    for (const flow of flows) {
      const first = [member(flow), member(flow)]
      for (const { id } of first) ofMember.set(id, flow)
      await log.append(first, { flows: [flow] })
    }
    await run(flows, 4, async (job, own) => {
      const flow = ofMember.get(job)!
      const more = Math.min(left.get(flow.id)!, whole(3))
      if (more === 0) return
      left.set(flow.id, left.get(flow.id)! - more)
      const added = Array.from({ length: more }, () => member(flow))
      for (const { id } of added) ofMember.set(id, flow)
      const client = clients.pop()
      if (!client) {
        expect(await own.append(added)).toMatchObject(added.map(() => ({ status: 'added' })))
        return
      }
      await client.query('begin')
      expect(await own.append(added, { tx: client })).toMatchObject(added.map(() => ({ status: 'added' })))
      // The member may end before what it has added can be seen.
      const committed = sleep(whole(20)).then(() => client.query('commit'))
      open.push(committed.then(() => clients.push(client)))
      if (whole(1) === 0) await committed
    })
    await Promise.all(open)

    const ids = flows.map(({ id }) => id).join()
    expect(await count(`errand.live where flow = any ('{${ids}}')`)).toBe(0)
    expect(await late()).toBe(0)
    for (const { id } of flows) {
      const members = [...ofMember.values()].filter((flow) => flow.id === id).length
      expect(await log.readFlow(id)).toMatchObject({ state: 'succeeded', total: members, succeeded: members })
      const story = (await log.readHistory(id)).map(({ type }) => type)
      expect(story).toEqual(['flow_dispatched', 'flow_ended'])
    }
  })

  it('members that were added and can be seen count before their flow may end', async () => {
    const by = await worker(log)
    const flow = newFlow()
    const first = member(flow)
    await log.append([first], { flows: [flow] })
    const [claim] = await log.take([queue], 1, by, randomUUID())
    const client = await stage.client()
    await client.query('begin')
    const added = [member(flow), member(flow)]
    await log.append(added, { tx: client })
    await client.query('commit')
    // Nobody has handled the note about them yet.
    expect(await count('errand.work_notes where total = 2')).toBe(1)
    await log.settle([settlement(claim!, outcomes.succeed())], by)
    expect(await log.readFlow(flow.id)).toMatchObject({ state: 'running', total: 3, succeeded: 1 })
    await run([flow], 1)
  })

  it('a flow of 1,500 members is counted right by six workers, and too many failures are cancelled', async () => {
    const flows = [newFlow({ allowFailures: null }), newFlow({ allowFailures: 20 })]
    for (const flow of flows)
      await log.append(
        Array.from({ length: 750 }, () => member(flow)),
        { flows: [flow] },
      )
    await run(flows, 6, undefined, () => (Math.random() < 0.1 ? outcomes.fail() : outcomes.succeed()))
    for (const { id } of flows) {
      const found = (await log.readFlow(id))!
      const of = (state: number): Promise<number> =>
        count(
          `errand.ended x join errand.jobs j on j.seq = x.seq where j.flow = '${id}' and x.state = ${state}`,
        )
      expect(found).toMatchObject({
        total: 750,
        succeeded: await of(stateCode.succeeded),
        failed: await of(stateCode.failed),
        cancelled: await of(stateCode.cancelled),
      })
    }
    expect((await log.readFlow(flows[0]!.id))!.state).toBe('succeeded')
    expect(await log.readFlow(flows[1]!.id)).toMatchObject({ state: 'failed', cancel: { by: 'flow' } })
    await log.passNotes(1_000)
    expect(await stage.sql('select * from errand.work_notes')).toEqual([])
  })

  it('a flow that is held by an open transaction delays no note of others', async () => {
    const by = await worker(log)
    const flow = newFlow()
    const members = Array.from({ length: 30 }, () => member(flow))
    await log.append(members, { flows: [flow] })
    const client = await stage.client()
    await client.query('begin')
    const added = member(flow)
    await log.append([added], { tx: client })
    for (const claim of await log.take([queue], 30, by, randomUUID()))
      expect(recorded(await log.settle([settlement(claim, outcomes.succeed())], by))[0]?.pending).toBe(true)
    expect(await count('errand.work_notes')).toBe(30)

    const other = newFlow()
    await log.append([member(other)], { flows: [other] })
    const [claim] = await log.take([queue], 1, by, randomUUID())
    const blocker = await stage.client()
    await blocker.query('begin')
    await blocker.query(`select from ${stage.schema}.flows where id = $1 for share`, [other.id])
    await log.settle([settlement(claim!, outcomes.succeed())], by)
    await blocker.query('commit')
    // Fewer than the notes of the flow that is held. Which flow comes first is left to chance.
    await until(
      async () => {
        await log.passNotes(1)
        return (await log.readFlow(other.id))?.state === 'succeeded'
      },
      { what: 'the other flow has ended', withinMs: 5_000 },
    )
    expect(await log.readFlow(flow.id)).toMatchObject({ state: 'running', succeeded: 0 })
    await client.query('commit')
    await run([flow], 1)
    expect(await log.readFlow(flow.id)).toMatchObject({ total: 31, succeeded: 31 })
  })

  it('flows whose members have ordering keys in opposite orders do not lock each other out', async () => {
    const keys = Array.from({ length: 600 }, (_, at) => `key-${at}`)
    // In the caller's transaction nobody repeats what a deadlock has ended.
    const store = async (client: Client, inOrder: readonly string[]): Promise<void> => {
      const flow = newFlow()
      const jobs = inOrder.map((key) => ({ ...member(flow), ordering: { key, onFailure: 'skip' } as const }))
      await client.query('begin')
      const answers = await log.append(jobs, { flows: [flow], tx: client })
      await client.query('commit')
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['added']))
    }
    const [one, two] = [await stage.client(), await stage.client()]
    for (let turn = 0; turn < 3; turn += 1)
      await Promise.all([store(one, keys), store(two, keys.toReversed())])
    await log.cancel(
      (await stage.sql(`select id from errand.live where key like 'key-%'`)).map(({ id }) => id as string),
      { by: 'the test' },
    )
  })
})
