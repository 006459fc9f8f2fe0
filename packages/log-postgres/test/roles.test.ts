import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { isErrandError } from '@errand/core/ports'
import type {
  Claim,
  Fence,
  JobLog,
  LogRoles,
  NewMessage,
  NewStep,
  WorkerRef,
  NewFlow,
  NewNeed,
} from '@errand/core/ports'
import { newJob, newTicket, outcomes, settlement, workerRef } from '@errand/testkit'
import { openStage, url } from './stage.ts'

const by = { by: 'mia' }
type RoleName = keyof LogRoles
const roleNames = ['dispatcher', 'worker', 'operator'] as const

/** What a call is tried on: a log that holds a job of each kind. */
interface Scene {
  readonly log: JobLog
  readonly me: WorkerRef
  readonly jobId: string
  readonly logId: string
  readonly stranger: string
  readonly begin: () => Promise<Client>
  /** A claim of `me`, had by the owner. */
  readonly claimed: () => Promise<Claim>
}

const newMessage = (job: string): NewMessage => ({
  id: randomUUID(),
  job,
  name: 'approved',
  payload: { codec: 'json', text: '1' },
  by: 'mia',
})
const newStep = ({ id, run }: Fence): NewStep => ({
  id,
  run,
  name: 'charge',
  memoryVersion: 0,
  durationMs: 1,
  result: undefined,
})

/** Everything that a log can do, and who may. */
const calls: readonly (readonly [
  what: string,
  who: readonly RoleName[],
  call: (on: Scene) => Promise<unknown>,
])[] = [
  ['connect', roleNames, ({ log }) => log.connect()],
  ['append', ['dispatcher', 'worker'], ({ log }) => log.append([newJob()])],
  [
    'append jobs with keys',
    ['dispatcher', 'worker'],
    ({ log }) =>
      log.append([
        newJob({ ordering: { key: 'k', onFailure: 'block' }, unique: { key: 'u', until: 'finished' } }),
      ]),
  ],
  [
    'append in a transaction of its own',
    ['dispatcher', 'worker'],
    async ({ log, begin }) => log.append([newJob()], { tx: await begin() }),
  ],
  [
    'append a flow, and a job that needs it and another',
    ['dispatcher', 'worker'],
    async ({ log, jobId }) => {
      const flow = newFlow()
      const jobs = [newJob({ flow: flow.id }), newJob({ needs: [flow.id, jobId].map(toNeed) })]
      expect(await log.append(jobs, { flows: [flow] })).toMatchObject([
        { state: 'ready' },
        { state: 'blocked' },
      ])
      expect(await log.readFlow(flow.id)).toMatchObject({ total: 1 })
      expect(await log.get(jobs[1]!.id)).toMatchObject({ state: 'blocked', waitsForNeeds: true })
    },
  ],
  [
    'append needs in a transaction of its own',
    ['dispatcher', 'worker'],
    async ({ log, jobId, begin }) => log.append([newJob({ needs: [toNeed(jobId)] })], { tx: await begin() }),
  ],
  ['look at one flow', roleNames, ({ log }) => log.readFlow(randomUUID())],
  ['list flows', ['worker', 'operator'], ({ log }) => log.listFlows({}, { limit: 10 })],
  ['list members', ['worker', 'operator'], ({ log }) => log.flowMembers(randomUUID(), { limit: 10 })],
  [
    'read the ends of members',
    ['worker', 'operator'],
    ({ log }) => log.memberEnds(randomUUID(), { limit: 10 }),
  ],
  ['read what a job needs', ['worker', 'operator'], ({ log, jobId }) => log.needs(jobId)],
  ['know who needs a job', ['worker', 'operator'], ({ log, jobId }) => log.neededBy(jobId, 10)],
  ['cancel a flow', ['operator'], ({ log }) => log.cancelFlow(randomUUID(), by)],
  ['replay a flow', ['operator'], ({ log }) => log.replayFlow(randomUUID(), by)],
  [
    'get one job',
    roleNames,
    async ({ log, jobId }) => expect(await log.get(jobId)).toMatchObject({ id: jobId }),
  ],
  [
    'know whether jobs have ended',
    roleNames,
    async ({ log, jobId }) =>
      expect(await log.unfinished([randomUUID(), jobId])).toEqual([{ id: jobId, version: 1 }]),
  ],
  [
    'read the history of one job',
    roleNames,
    async ({ log, jobId }) => expect(await log.readHistory(jobId)).toHaveLength(1),
  ],
  ['follow one job', roleNames, ({ log, jobId }) => log.read({ job: jobId, limit: 10 })],
  ['follow all', ['worker', 'operator'], ({ log }) => log.read({ limit: 10 })],
  ['know where the history ends', roleNames, ({ log }) => log.end()],
  ['list', ['worker', 'operator'], ({ log }) => log.list({}, { limit: 10 })],
  ['notify', roleNames, ({ log }) => log.notify(['events'])],
  ['know where the driver is', roleNames, ({ log }) => log.transfer()],
  ['know which queues are served', roleNames, ({ log }) => log.served()],
  ['beat', ['worker'], ({ log, me }) => log.beat(me, { queues: ['default'], taking: true, progress: [] })],
  ['claim', ['worker'], ({ log, me, logId }) => log.claim([newTicket({ log: logId })], 1, me, randomUUID())],
  ['take', ['worker'], ({ log, me }) => log.take(['nobody-serves-it'], 1, me, randomUUID())],
  [
    'settle',
    ['worker'],
    async ({ log, me, claimed }) =>
      expect(await log.settle([settlement(await claimed(), outcomes.succeed())], me)).toMatchObject([
        { result: 'settled' },
      ]),
  ],
  [
    'settle an error',
    ['worker'],
    async ({ log, me, claimed }) => log.settle([settlement(await claimed(), outcomes.fail())], me),
  ],
  [
    'complete in a transaction of its own',
    ['worker'],
    async ({ log, me, claimed, begin }) => log.complete(await claimed(), undefined, me, await begin()),
  ],
  [
    'send a message',
    roleNames,
    async ({ log, jobId }) =>
      expect(await log.send([newMessage(jobId)])).toEqual({ sent: ['sent'], tickets: [] }),
  ],
  [
    'send a message in a transaction of its own',
    roleNames,
    async ({ log, jobId, begin }) => log.send([newMessage(jobId)], { tx: await begin() }),
  ],
  [
    'keep a step',
    ['worker'],
    async ({ log, me, claimed }) =>
      expect(await log.remember([newStep(await claimed())], me)).toEqual(['kept']),
  ],
  [
    'recall and keep a step in a transaction of its own',
    ['worker'],
    async ({ log, me, claimed, begin }) => {
      const [claim, tx] = [await claimed(), await begin()]
      expect(await log.recall(claim, 'charge', me, tx)).toBeUndefined()
      await log.rememberInside(newStep(claim), me, tx)
    },
  ],
  [
    'suspend a job',
    ['worker'],
    async ({ log, me, claimed }) =>
      log.settle(
        [
          settlement(await claimed(), {
            kind: 'suspend',
            waits: [{ kind: 'sleep', name: 'rest', until: { delayMs: 0 } }],
            memoryVersion: 0,
          }),
        ],
        me,
      ),
  ],
  ['read what a job remembers', ['worker', 'operator'], ({ log, jobId }) => log.memory(jobId)],
  ['pass notes', ['worker'], ({ log }) => log.passNotes(10)],
  ['sweep', ['worker'], ({ log }) => log.sweep({ limit: 10, republish: true, queues: [], skipQueues: [] })],
  ['note what was published', ['worker', 'operator'], ({ log }) => log.published([newTicket()])],
  ['expedite', ['worker', 'operator'], ({ log }) => log.expedite(['default'], { limit: 10 })],
  ['leave', ['worker'], ({ log, me }) => log.leave({ ...me, id: randomUUID() })],
  ['cancel', ['operator'], ({ log }) => log.cancel([randomUUID()], by)],
  ['replay', ['operator'], ({ log }) => log.replay([randomUUID()], by)],
  ['skip', ['operator'], ({ log }) => log.skip([randomUUID()], by)],
  ['change', ['operator'], ({ log, jobId }) => log.change(jobId, { lane: 'high' }, by)],
  ['pause', ['operator'], ({ log }) => log.pause('held', by)],
  ['resume', ['operator'], ({ log }) => log.resume('held', by)],
  ['look at queues', ['worker', 'operator'], ({ log }) => log.queues()],
  ['look at blocked keys', ['worker', 'operator'], ({ log }) => log.blockedKeys(10)],
  ['look at workers', ['worker', 'operator'], ({ log }) => log.workers()],
  ['stop workers', ['operator'], ({ log }) => log.stopWorkers(randomUUID())],
  [
    'move the driver',
    ['operator'],
    ({ log }) => log.setTransfer({ to: 'database', from: 'database', by: 'mia' } as never, 1_000),
  ],
  ['prune', ['operator'], ({ log }) => log.prune({ succeededMs: 1e9, failedMs: 1e9, limit: 10 })],
  ['diagnose', ['operator'], ({ log }) => log.diagnose()],
  ['tell that a backup was restored', [], ({ log }) => log.migrate({ restored: true })],
  ['give rights', [], ({ log, stranger }) => log.grants!({ worker: stranger }, { apply: true })],
]

const newFlow = (): NewFlow => ({
  id: randomUUID(),
  allowFailures: 0,
  stopOnFailure: true,
  tags: [],
  meta: {},
})
const toNeed = (on: string): NewNeed => ({ on, mode: 'succeeded' })

describe.skipIf(url === undefined)('roles', () => {
  const tag = `errand_${randomUUID().slice(0, 8)}`
  const role = (name: RoleName | 'owner' | 'stranger'): string => `${tag}_${name}`
  const roles: LogRoles = {
    dispatcher: role('dispatcher'),
    worker: role('worker'),
    operator: role('operator'),
  }
  const everybody = ['owner', 'stranger', ...roleNames] as const
  const stage = openStage()
  let owner: JobLog
  const logs = new Map<RoleName, JobLog>()
  const jobId = randomUUID()
  const me = workerRef()

  const toUrl = (name: (typeof everybody)[number]): string => {
    const own = new URL(stage.url)
    own.username = role(name)
    own.password = name
    return own.href
  }
  const client = async (name: (typeof everybody)[number]): Promise<Client> => {
    const found = new Client({ connectionString: toUrl(name) })
    await found.connect()
    onTestFinished(() => found.end())
    return found
  }
  const refused = { code: 'E_RIGHTS', message: expect.stringContaining('permission denied') as string }

  beforeAll(async () => {
    const [{ name: database }] = (await stage.sql('select current_database() as name')) as [{ name: string }]
    for (const name of everybody) await stage.sql(`create role ${role(name)} login password '${name}'`)
    // The owner is no superuser: what the log's functions do needs nothing more.
    await stage.sql(`grant create on database "${database}" to ${role('owner')}`)
    owner = stage.open({ url: toUrl('owner') })
    await owner.migrate()
    await owner.grants!(roles, { apply: true })
    await owner.append([newJob({ id: jobId, queue: 'held', due: { delayMs: 3_600_000 } })])
    await owner.beat(me, { queues: ['default', 'settled'], taking: true, progress: [] })
    for (const name of roleNames) logs.set(name, stage.open({ url: toUrl(name), poolSize: 1 }))
  })
  afterAll(async () => {
    await owner?.close()
    await Promise.all([...logs.values()].map((log) => log.close()))
    for (const name of everybody)
      await stage.sql(`drop owned by ${role(name)} cascade; drop role ${role(name)}`)
    await stage.close()
  })

  describe.each(roleNames)('%s', (name) => {
    it.each(calls)('%s', async (_what, who, call) => {
      const scene: Scene = {
        log: logs.get(name)!,
        me,
        jobId,
        logId: (await owner.connect()).logId,
        stranger: role('stranger'),
        begin: async () => {
          const tx = await client(name)
          await tx.query('begin')
          return tx
        },
        claimed: async () => {
          await owner.append([newJob({ queue: 'settled' })])
          const [claim] = await owner.take(['settled'], 1, me, randomUUID())
          return claim!
        },
      }
      if (who.includes(name)) await call(scene)
      else await expect(call(scene)).rejects.toMatchObject(refused)
    })
  })

  it('may call these functions and no others, and each of them acts as its owner on a fixed path', async () => {
    const rows = await stage.sql(
      `select p.proname as name, p.prosecdef as definer, p.proconfig::text as settings,
              ${roleNames.map((name) => `has_function_privilege('${role(name)}', p.oid, 'execute') as ${name}`).join(', ')},
              has_function_privilege('${role('stranger')}', p.oid, 'execute') as stranger
         from pg_proc p where p.pronamespace = '${stage.schema}'::regnamespace`,
    )
    expect(rows.length).toBeGreaterThan(30)
    const ofTables = ['clock', 'ms', 'timeline', 'written', 'range_end']
    for (const row of rows) {
      const callers = roleNames.filter((name) => row[name])
      expect({
        ...row,
        called: callers.length > 0 && !ofTables.includes(String(row['name'])),
      }).toMatchObject({
        called: row['definer'],
        stranger: false,
      })
      if (row['definer']) expect(row['settings']).toContain('search_path=pg_catalog, pg_temp')
    }
  })

  it.each<readonly [(typeof everybody)[number], string]>([
    ['dispatcher', 'select payload from errand.jobs'],
    ['dispatcher', 'select body from errand.job_events'],
    ['dispatcher', `insert into errand.events (link, jobs) values (1, array[gen_random_uuid()])`],
    ['dispatcher', `update errand.live set state = 4`],
    ['dispatcher', `select nextval('errand.jobs_seq')`],
    ['dispatcher', `select errand.lock_keys_v1('{q}', '{k}')`],
    ['worker', `update errand.jobs set payload = '{}'`],
    ['worker', `delete from errand.events`],
    ['worker', `insert into errand.paused_queues (name, paused_by, paused_at) values ('q', 'me', now())`],
    ['operator', `update errand.jobs set payload = '{}'`],
    ['operator', `delete from errand.events`],
    ['operator', `update errand.meta set log_id = 'another'`],
    ['operator', `update errand.workers set lease_until = now()`],
    ...everybody.slice(1).flatMap((name): [(typeof everybody)[number], string][] => [
      [name, 'drop table errand.jobs'],
      [name, 'create table errand.mine ()'],
      [name, 'create or replace function errand.clock() returns timestamptz language sql return now()'],
    ]),
    ['stranger', 'select * from errand.meta'],
  ])('%s, with a client of its own, may not: %s', async (name, statement) => {
    const own = await client(name)
    await expect(own.query(statement.replaceAll('errand.', `${stage.schema}.`))).rejects.toMatchObject({
      code: '42501',
    })
  })

  it('a dispatcher reads the one job whose id it knows, and no other', async () => {
    const own = await client('dispatcher')
    const known = await own.query(`select id, payload from ${stage.schema}.granted_known($1)`, [jobId])
    expect(known.rows).toHaveLength(1)
    expect((await own.query(`select * from ${stage.schema}.granted_known(null)`)).rows).toEqual([])
  })

  it('a role with no rights is told so, and where to find them', async () => {
    const log = stage.open({ url: toUrl('stranger') })
    await expect(log.connect()).rejects.toMatchObject({
      code: 'E_RIGHTS',
      message: expect.stringMatching(/permission denied for schema .*errand roles/) as string,
    })
    // Nor does it make a log of its own.
    const elsewhere = stage.open({ url: toUrl('stranger'), schema: `${stage.schema}_b`, migrate: true })
    await expect(elsewhere.connect()).rejects.toMatchObject({ code: 'E_RIGHTS' })
  })

  it('rights may be given again after each migration, and rights that are no longer listed are taken away', async () => {
    await stage.sql(`grant select on errand.jobs to ${role('dispatcher')}`)
    await stage.sql(`alter function errand.append_v1 security invoker`)
    const dispatcher = logs.get('dispatcher')!
    await expect(dispatcher.append([newJob({ due: { delayMs: 1_000 } })])).rejects.toMatchObject(refused)
    await Promise.all([owner.grants!(roles, { apply: true }), owner.grants!(roles, { apply: true })])
    await dispatcher.append([newJob({ due: { delayMs: 1_000 } })])
    const own = await client('dispatcher')
    await expect(own.query(`select payload from ${stage.schema}.jobs`)).rejects.toMatchObject({
      code: '42501',
    })
  })

  it('the rules of an older version have the same rights, for workers that were not replaced yet', async () => {
    await stage.sql(`
      create function errand.append_v0() returns integer language sql set search_path to pg_catalog, pg_temp return 1;
      create function errand.lock_keys_v0() returns integer language sql return 1;
      alter function errand.append_v0() owner to ${role('owner')};
      alter function errand.lock_keys_v0() owner to ${role('owner')};
      grant execute on function errand.lock_keys_v0() to ${role('worker')}`)
    await owner.grants!(roles, { apply: true })
    const may = async (name: RoleName | 'stranger', rule: string): Promise<unknown> =>
      (
        await stage.sql(
          `select has_function_privilege('${role(name)}', 'errand.${rule}()', 'execute') as may`,
        )
      )[0]?.['may']
    expect(await may('dispatcher', 'append_v0')).toBe(true)
    expect(await may('operator', 'append_v0')).toBe(false)
    expect(await may('stranger', 'append_v0')).toBe(false)
    expect(await may('worker', 'lock_keys_v0')).toBe(false)
    const [kept] = await stage.sql(`select prosecdef from pg_proc where oid = 'errand.append_v0'::regproc`)
    expect(kept).toEqual({ prosecdef: true })
    await stage.sql('drop function errand.append_v0(); drop function errand.lock_keys_v0()')
  })

  it('what is not of Errand keeps the rights that others gave on it', async () => {
    await stage.sql(`
      create table errand.orders (id bigint);
      create function errand.total() returns integer language sql return 1;
      alter table errand.orders owner to ${role('owner')};
      alter function errand.total() owner to ${role('owner')};
      grant select on errand.orders to public;
      grant insert on errand.orders to ${role('worker')}`)
    await owner.grants!(roles, { apply: true })
    const [kept] = await stage.sql(
      `select has_table_privilege('${role('worker')}', 'errand.orders', 'select') as reads,
              has_table_privilege('${role('worker')}', 'errand.orders', 'insert') as writes,
              has_function_privilege('${role('worker')}', 'errand.total()', 'execute') as total`,
    )
    expect(kept).toEqual({ reads: true, writes: true, total: true })
    await stage.sql('drop table errand.orders; drop function errand.total()')
  })

  it('the owner and texts that are no names are refused, and nothing is changed then', async () => {
    await expect(owner.grants!({ worker: role('owner') }, { apply: true })).rejects.toMatchObject({
      code: 'E_LOG',
      message: expect.stringContaining('the owner of the job log has all rights already') as string,
    })
    for (const bad of [
      '',
      'public',
      'a"; drop role b; --',
      "a'b",
      '$$',
      'x'.repeat(64),
      'a\nb',
      '\\',
      7,
      null,
    ]) {
      const thrown: unknown = await owner.grants!({ worker: bad as string }, { apply: false }).catch(
        (error: unknown) => error,
      )
      expect(isErrandError(thrown, 'E_OPTION'), String(bad)).toBe(true)
    }
    await expect(owner.grants!({}, { apply: false })).rejects.toMatchObject({ code: 'E_OPTION' })
    await owner.append([newJob()])
  })
})
