import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { beforeAll, expect, it } from 'vitest'
import type { NewJob } from '@errand/core/ports'
import { newJob, workerRef } from '@errand/testkit'
import { settleCode, stepCode } from '../src/codes.ts'
import { countReads } from './reads.ts'
import { describeOnPostgres } from './stage.ts'

type Run = Readonly<Record<string, unknown>>
const tables = [
  'live',
  'jobs',
  'keys',
  'unique_keys',
  'progress',
  'limits',
  'limit_keys',
  'limit_notes',
  'steps',
  'messages',
  'message_notes',
  'needs',
  'flows',
  'members',
  'work_notes',
]

/**
 * Plans are made once for each connection, from the statistics of that moment. That may be the moment after a long queue was
 * emptied. Every call must still find its rows one by one.
 */
describeOnPostgres('plans that were made while the tables were large and all but empty', ({ stage, log }) => {
  const backlog = 2_000
  const batch = 50
  /** Of the limit. */
  const keys = 30
  const by = workerRef({ leaseMs: 600_000 })
  /** Whose plans are asked for. */
  let client: Client

  beforeAll(async () => {
    await log.beat(by, { queues: ['q', 'shared', 'members', 'needed'], taking: true, progress: [] })
    await log.append([newJob({ queue: 'elsewhere', flow: flow.id })], { flows: [flow] })
    const values = { total: 2 * batch, perKey: batch, keyRate: { everyMs: 1, burst: batch } }
    await log.saveLimits([{ name: 'limit', after: 0, to: { values, body: '{}' } }])
    await fill(backlog)
    const last = `(select id from errand.jobs order by seq desc limit 1)`
    for (const table of ['live', 'jobs']) await stage.sql(`delete from errand.${table} where id <> ${last}`)
    await stage.sql('delete from errand.steps; delete from errand.messages')
    for (const table of ['keys', 'unique_keys'])
      await stage.sql(`delete from errand.${table} where key <> ''`)
    await stage.sql(`vacuum (analyze) ${tables.map((table) => `errand.${table}`).join(', ')}`)
    client = await stage.client()
    await fill(10)
    for (const { act } of calls) await act(2)
    await fill(backlog)
  })

  /** This many jobs of each kind. Each key is different. */
  async function fill(count: number): Promise<void> {
    const jobs = (overrides: () => Partial<NewJob>): NewJob[] =>
      Array.from({ length: count }, () => newJob({ queue: 'q', ...overrides() }))
    await log.append([
      ...jobs(() => ({})),
      ...jobs(() => ({ ordering: { key: randomUUID(), onFailure: 'block' } })),
      ...jobs(() => ({ queue: 'shared', shareKey: randomUUID() })),
      ...jobs(() => ({ unique: { key: randomUUID(), until: 'finished' } })),
      ...jobs(() => ({ ordering: { key: randomUUID(), onFailure: 'block' }, due: { delayMs: 3_600_000 } })),
      ...jobs(limited),
    ])
    const parents = jobs(() => ({ queue: 'needed' }))
    const children = parents.map((parent) =>
      newJob({ queue: 'children', needs: [{ on: parent.id, mode: 'succeeded', name: 'sales' }] }),
    )
    await log.append([...jobs(() => ({ queue: 'members', flow: flow.id })), ...parents, ...children])
    await stage.sql(
      `insert into errand.steps (job_id, name, done_at, run, memory_version, kind)
       select gen_random_uuid(), 'step', now(), 1, 0, 1 from generate_series(1, $1)`,
      [count],
    )
    await stage.sql(
      `insert into errand.messages (job_id, id, seq, at, name, sent_by)
       select gen_random_uuid(), gen_random_uuid(), 1, now(), 'approved', 'ada' from generate_series(1, $1)`,
      [count],
    )
  }

  const flow = { id: randomUUID(), allowFailures: null, stopOnFailure: false, tags: [], meta: {} }
  let nextKey = 0
  const limited = (): Partial<NewJob> => {
    nextKey += 1
    return { limit: { name: 'limit', key: `key-${nextKey % keys}` } }
  }

  const array = (cells: readonly unknown[]): string => `{${cells.join(',')}}`
  const call = (text: string, values: readonly unknown[] = []) =>
    client.query<Record<string, unknown>>(text.replaceAll('errand.', `${stage.schema}.`), [...values])

  const id = (): unknown => randomUUID()
  /** @param keys cells of parameters that are null otherwise */
  function dispatch(count: number, keys: Readonly<Record<string, () => unknown>>): Promise<unknown> {
    const cells: Readonly<Record<string, () => unknown>> = {
      p_ids: id,
      p_names: () => 'test.job',
      p_payload_versions: () => 1,
      p_queues: () => 'shared',
      p_lanes: () => 300,
      p_codecs: () => 'json',
      p_payloads: () => '1',
      p_skips: () => false,
      p_unique_modes: () => 1,
      p_graces: () => 60_000,
      p_attempts: () => 1,
      p_crashes: () => 1,
      p_crash_fails: () => false,
      p_timeouts: () => 60_000,
      p_data: () => '""',
      ...keys,
    }
    const nulls = [
      'p_tags',
      'p_metas',
      'p_keys',
      'p_unique_keys',
      'p_unique_fors',
      'p_shares',
      'p_delays',
      'p_ats',
    ]
    const given = Object.keys(cells).map((name, at) => `${name} => $${at + 1}`)
    const rest = ['p_expires', 'p_parents', 'p_lims', 'p_lim_keys', 'p_lock_timeout', 'p_inside']
    const whole = [
      'flows',
      'places',
      'may_fails',
      'needed',
      'need_jobs',
      'need_ids',
      'need_modes',
      'need_names',
    ]
    const none = [...nulls, ...rest, ...whole.map((each) => `p_${each}`)].filter((name) => !(name in cells))
    return call(
      `select errand.append_v1(${[...given, ...none.map((name) => `${name} => null`)].join(', ')})`,
      Object.values(cells).map((cell) => array(Array.from({ length: count }, cell))),
    )
  }

  async function waiting(count: number, which: string): Promise<string[]> {
    const rows = await stage.sql(`select id from errand.live l where ${which} limit ${count}`)
    return rows.map(({ id }) => id as string)
  }

  /** Claims this many jobs of those that `which` names. */
  async function claimSome(count: number, which: string): Promise<readonly Run[]> {
    const ids = await waiting(count, `state = 3 and ${which}`)
    await claim(ids)
    return (await call('select id, run from errand.live where id = any ($1)', [ids])).rows
  }

  async function succeed(runs: readonly Run[]): Promise<void> {
    await call(`select errand.settle_succeeded_v1($1, $2, $3, $3, $3, $4)`, [
      array(runs.map(({ id }) => id)),
      array(runs.map(({ run }) => run)),
      array(runs.map(() => 'null')),
      by.id,
    ])
  }

  /** Claims this many jobs of those that `which` names, and settles them in this way. */
  async function settle(count: number, which: string, kind: number): Promise<void> {
    const runs = await claimSome(count, which)
    const body = kind === settleCode.suspend ? suspension : 'null'
    await call(`select errand.settle_v1($1, $2, $3, null, null, $5, null, null, $4, null)`, [
      array(runs.map(({ id }) => id)),
      array(runs.map(({ run }) => run)),
      array(runs.map(() => kind)),
      by.id,
      array(runs.map(() => body)),
    ])
  }

  const wait = { kind: stepCode.message, name: 'approval', on: 'approved', delay: 3_600_000 }
  const suspension = JSON.stringify(JSON.stringify({ memoryVersion: 0, waits: [wait] }))

  async function remember(runs: readonly Run[]): Promise<void> {
    await call(`select errand.remember_v1($1, $2, $3, $4, $4, null, null, $5)`, [
      array(runs.map(({ id }) => id)),
      array(runs.map(({ run }) => run)),
      array(runs.map(() => 'charge')),
      array(runs.map(() => 0)),
      by.id,
    ])
  }

  async function send(ids: readonly string[], inside: boolean): Promise<void> {
    await call(`select errand.send_v1($1, $2, $3, $3, $4, $3, $5)`, [
      array(ids.map(id)),
      array(ids),
      array(ids.map(() => 'approved')),
      array(ids.map(() => 1)),
      inside,
    ])
  }

  const claim = (ids: readonly string[]) =>
    call(`select * from errand.claim_v1($1, $2, $3, $4, 1000, '{}')`, [ids, ids.length, by.id, randomUUID()])

  const plain =
    'key is null and unique_mode = 0 and lim is null and flow is null and needed is null and has_needs is null'
  const unique = 'unique_mode <> 0'
  const keyed = 'key is not null'

  const suspended = 'state = 8'

  /** In an order in which each finds what it needs. */
  const calls: readonly { readonly name: string; readonly act: (count: number) => Promise<unknown> }[] = [
    {
      name: 'a take and its success',
      act: async (count) => {
        const { rows } = await call(
          `select id, run from errand.take_v1('{q}', $1, $2, $3, 1000, '{}', 1, false, null)`,
          [count, by.id, randomUUID()],
        )
        await succeed(rows.filter(({ id }) => id !== null))
      },
    },
    { name: 'a success of jobs with keys', act: async (count) => succeed(await claimSome(count, keyed)) },
    { name: 'a success of unique jobs', act: async (count) => succeed(await claimSome(count, unique)) },
    {
      name: 'a success of jobs with a limit',
      act: async (count) => succeed(await claimSome(count, 'lim is not null')),
    },
    {
      name: 'a dispatch of jobs with a limit',
      act: (count) => dispatch(count, { p_lims: () => 'limit', p_lim_keys: () => limited().limit?.key }),
    },
    {
      name: 'a sweep of limits',
      act: async (count) => {
        await call(
          `insert into errand.limit_notes (lim, lim_key) select 'limit', 'key-' || i from generate_series(1, $1) i`,
          [keys],
        )
        await call(`select * from errand.admit_noted_v1($1, clock_timestamp(), true)`, [count])
      },
    },
    {
      name: 'a success with an outcome of another kind',
      act: (count) => settle(count, keyed, settleCode.succeed),
    },
    {
      name: 'steps of many jobs',
      act: async (count) => remember(await claimSome(count, plain)),
    },
    {
      name: 'a suspension',
      act: (count) => settle(count, plain, settleCode.suspend),
    },
    {
      name: 'messages to suspended jobs',
      act: async (count) => send(await waiting(count / 2, suspended), false),
    },
    {
      name: 'messages in a transaction, and their notes',
      act: async (count) => {
        await send(await waiting(count / 2, suspended), true)
        await call(`select * from errand.receive_noted_v1($1, clock_timestamp())`, [count])
      },
    },
    {
      name: 'a sweep of suspended jobs',
      act: async (count) => {
        await settle(count / 2, plain, settleCode.suspend)
        await call(`select * from errand.sweep_due_v1($1, clock_timestamp() + interval '90 minutes')`, [
          count,
        ])
      },
    },
    {
      name: 'a success of members of a flow',
      act: async (count) => succeed(await claimSome(count, `queue = 'members'`)),
    },
    {
      name: 'a success of jobs that others need',
      act: async (count) => succeed(await claimSome(count, `queue = 'needed'`)),
    },
    {
      name: 'a failure of jobs that others need',
      act: (count) => settle(count, `queue = 'needed'`, settleCode.fail),
    },
    {
      name: 'notes about jobs and flows',
      act: async (count) => {
        const ids = await waiting(count / 2, `queue = 'needed'`)
        const waits = await waiting(count / 2, `queue = 'children' and state = 2`)
        await call(
          `insert into errand.work_notes (kind, target, failed)
           select n.kind, n.id, 0
             from (select 2 as kind, u.id from unnest($1::uuid[]) as u (id)
                   union all select 1, u.id from unnest($2::uuid[]) as u (id)
                   union all select 3, $3::uuid) n`,
          [ids, waits, flow.id],
        )
        await call(`select * from errand.pass_noted_v1($1, clock_timestamp())`, [count])
      },
    },
    {
      name: 'a dispatch of members that need others',
      act: async (count) => {
        const parents = await waiting(count, `queue = 'needed'`)
        let [job, parent] = [0, 0]
        await dispatch(count, {
          p_flows: () => flow.id,
          p_need_jobs: () => (job += 1),
          p_need_ids: () => parents[parent++],
          p_need_modes: () => 1,
        })
      },
    },
    { name: 'a release', act: (count) => settle(count, plain, settleCode.releaseUnbegun) },
    {
      name: 'a failure of jobs that keep their keys',
      act: (count) => settle(count, keyed, settleCode.fail),
    },
    {
      name: 'a replay of failed jobs',
      act: async (count) =>
        call(`select * from errand.replay_v1($1, '{}', false, '1s')`, [
          await waiting(count / 2, 'state = 6'),
        ]),
    },
    {
      name: 'a skip of failed jobs',
      act: async (count) =>
        call(`select * from errand.skip_v1($1, '{}', '1s')`, [await waiting(count / 2, 'state = 6')]),
    },
    {
      name: 'a cancellation',
      act: async (count) => {
        const ids = await Promise.all([plain, keyed, unique].map((which) => waiting(count / 2, which)))
        await call(`select * from errand.cancel_v1($1, '', '1s')`, [ids.flat()])
      },
    },
    {
      name: 'a sweep of what is due',
      act: (count) =>
        call(`select * from errand.sweep_due_v1($1, clock_timestamp() + interval '2 hours')`, [count]),
    },
    {
      name: 'a sweep of what is lost',
      act: async (count) => {
        await claim(await waiting(count, `state = 3 and ${plain}`))
        await call(`select * from errand.sweep_lost_v1($1, clock_timestamp() + interval '2 hours')`, [count])
      },
    },
    {
      name: 'a take of jobs that take turns',
      act: (count) =>
        call(`select * from errand.take_v1('{shared}', $1, $2, $3, 1000, '{}', 0, false, null)`, [
          count,
          by.id,
          randomUUID(),
        ]),
    },
    {
      name: 'a claim by tickets of jobs that take turns',
      act: async (count) => claim(await waiting(count, `queue = 'shared'`)),
    },
    {
      name: 'a dispatch of jobs with keys',
      act: (count) => dispatch(count, { p_keys: id, p_unique_keys: id }),
    },
    { name: 'a dispatch of jobs that take turns', act: (count) => dispatch(count, { p_shares: id }) },
  ]

  async function rowsRead(work: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
    const read = await countReads(client, stage.schema, work)
    return Object.fromEntries(
      tables.map((table) => [table, (read[table]?.whole ?? 0) + (read[table]?.rows ?? 0)]),
    )
  }

  it.each(calls)('$name reads some rows for each job and not the table', async ({ act }) => {
    const read = await rowsRead(() => act(batch))
    for (const [table, rows] of Object.entries(read)) expect(rows, table).toBeLessThanOrEqual(10 * batch)
    expect(Object.values(read).some((rows) => rows >= batch / 2)).toBe(true)
  })
})
