import { randomUUID } from 'node:crypto'
import type { JobLog } from '@errand/core/ports'
import { newJob } from '@errand/testkit'

/** The largest number that a column can hold. */
export const huge = '9223372036854775807'

interface Called {
  readonly log: JobLog
  readonly sql: (text: string, values?: readonly unknown[]) => Promise<Record<string, unknown>[]>
}

export interface RoleFunction {
  /** With its version. */
  readonly called: string
  readonly name: string
  readonly parameters: readonly string[]
  readonly roles: readonly string[]
}

/** The functions that the log gives to its roles, read from the log itself, so that new ones are tested too. */
export async function functionsOfRoles({ log, sql }: Called): Promise<readonly RoleFunction[]> {
  const roles = ['dispatcher', 'worker', 'operator'] as const
  const given = new Map<string, string[]>()
  for (const role of roles) {
    const script = (await log.grants?.({ [role]: 'somebody' }, { apply: false })) ?? ''
    const [, list = ''] = /grant execute on function([^;']*?)to "somebody"/.exec(script) ?? []
    const [, rules = ''] = /any \('\{([^}]*)\}'\) then\s+execute format\('grant execute/.exec(script) ?? []
    for (const [name] of [...list.matchAll(/(?<=\.)\w+/g), ...rules.matchAll(/\w+/g)])
      given.set(name, [...(given.get(name) ?? []), role])
  }
  const rows = await sql(
    `select proname as called, regexp_replace(proname, '_v[0-9]+$', '') as name, proargnames[1:pronargs] as parameters from pg_proc
      where pronamespace = (select relnamespace from pg_class where oid = 'errand.meta'::regclass)
        and regexp_replace(proname, '_v[0-9]+$', '') = any ($1)`,
    [[...given.keys()]],
  )
  return rows
    .map(({ called, name, parameters }) => ({
      called: called as string,
      name: name as string,
      parameters: (parameters as string[] | null) ?? [],
      roles: given.get(name as string) ?? [],
    }))
    .filter(({ parameters }) => parameters.length > 0)
}

/** A job of the caller, in its own queue. `job` and `worker` are placeholders for it. */
const job = 'job'
const worker = 'hostile-worker'

/** The value of a parameter in a normal call. An entry for a function goes before one for a name. `{…}` is the text of an array. */
const plain: Readonly<Record<string, string | null>> = {
  p_id: job,
  p_ids: '{job}',
  p_names: '{hostile.job}',
  p_name: 'hostile.job',
  p_payload_versions: '{1}',
  p_payload_version: '1',
  p_queues: '{honest}',
  p_queue: 'honest',
  p_lanes: '{300}',
  p_lane: '300',
  p_codecs: '{json}',
  p_codec: 'json',
  p_payloads: '{1}',
  p_payload: '1',
  p_tags: '{NULL}',
  p_metas: '{NULL}',
  p_keys: '{hostile-key}',
  p_skips: '{true}',
  p_unique_keys: '{job}',
  p_unique_modes: '{1}',
  p_unique_fors: '{1000}',
  p_shares: '{a}',
  p_delays: '{0}',
  p_ats: '{NULL}',
  p_expires: '{60000}',
  p_parents: '{NULL}',
  p_graces: '{0}',
  p_attempts: '{5}',
  p_crashes: '{3}',
  p_crash_fails: '{false}',
  p_timeouts: '{60000}',
  p_data: '{"\\"a\\":1"}',
  p_lims: '{limit}',
  p_lim_keys: '{key}',
  p_flows: '{NULL}',
  p_places: '{NULL}',
  p_may_fails: '{false}',
  p_needed: '{false}',
  p_need_jobs: '{NULL}',
  p_need_ids: '{NULL}',
  p_need_modes: '{1}',
  p_need_names: '{name}',
  // Of flows.
  p_job_flows: '{NULL}',
  p_flow_ids: '{job}',
  p_outers: '{NULL}',
  p_flow_names: '{flow}',
  p_allowed: '{0}',
  p_stops: '{true}',
  'append_flows.p_may_fails': '{false}',
  p_flow_tags: '{NULL}',
  p_flow_metas: '{NULL}',
  p_flow_places: '{NULL}',
  p_lock_timeout: '1s',
  p_wait: '1000',
  p_at_most: '60000',
  // Of a batch whose jobs are alike each is one value.
  'append_alike.p_expires': '60000',
  'append_alike.p_parent': null,
  'append_alike.p_grace': '0',
  'append_alike.p_attempts': '5',
  'append_alike.p_crashes': '3',
  'append_alike.p_crash_fails': 'false',
  'append_alike.p_timeout': '60000',
  'append_alike.p_data': '"a":1',
  // A message to it, and a step of it.
  'send.p_ids': '{00000000-0000-4000-8000-000000000000}',
  'send.p_names': '{approved}',
  p_senders: '{eve}',
  'remember.p_names': '{a step}',
  'remember_inside.p_name': 'a step',
  'recall.p_name': 'a step',
  'remember.p_durations': '{1}',
  p_versions: '{1}',
  p_version: '1',
  p_duration: '1',
  // A worker.
  p_worker: worker,
  p_max: '1',
  p_limit: '10',
  p_limits: '{1}',
  p_request: 'a request',
  p_grace_ms: '1000',
  p_lowest: '0',
  p_overdue: 'false',
  p_from: null,
  p_runs: '{1}',
  p_run: '1',
  p_kinds: '{0}',
  p_bodies: '{1}',
  p_body: '1',
  p_durations: '{"\\"durationMs\\":1"}',
  p_extras: '{NULL}',
  p_inside: 'false',
  p_why: 'why',
  'claim.p_data': '{}',
  'take.p_data': '{}',
  'take.p_queues': '{theirs}',
  'expedite.p_queues': '{theirs}',
  p_schedules: '{schedule}',
  p_schedule_jobs: '{a}',
  p_afters: '{0}',
  p_dues: '{1900000000000}',
  'save_schedules.p_names': '{schedule}',
  'save_schedules.p_jobs': '{a}',
  p_declared: '{true}',
  p_declarers: '{eve}',
  'save_schedules.p_bodies': '{"{}"}',
  'save_limits.p_names': '{limit}',
  p_totals: '{5}',
  p_per_keys: '{5}',
  p_rates: '{100}',
  p_bursts: '{10}',
  p_key_rates: '{100}',
  p_key_bursts: '{10}',
  'save_limits.p_bodies': '{"{}"}',
  'close_limit.p_name': 'limit',
  'close_limit.p_key': 'key',
  p_job: null,
  p_for_ms: '1000',
  p_by: 'eve',
  p_reason: 'why',
  'set_aside_unclaimable.p_queues': '{theirs}',
  'beat.p_id': worker,
  'beat.p_queues': '{theirs}',
  p_host: 'host',
  p_pid: '1',
  p_label: 'label',
  p_lease_ms: '60000',
  p_taking: 'true',
  p_jobs: '{job}',
  p_values: '{0.5}',
  p_messages: '{message}',
  'beat.p_data': '{"\\"progress\\":1"}',
  p_drivers: '{driver}',
  p_given_up: '{job}',
  p_given_up_runs: '{1}',
  p_slots: '{4}',
  p_republish: 'true',
  p_own: '{theirs}',
  p_skip: '{honest}',
  p_left_ms: '0',
  p_days: '14',
  p_publish_after: '2030-01-01',
  // An operator. What it prunes is old.
  p_note: '"by":"eve"',
  'cancel.p_note': '"by":"eve"',
  'replay_flow.p_data': '{"by":"eve"}',
  p_states: '{5}',
  'replay.p_data': '{"by":"eve"}',
  p_forgets: 'false',
  'skip.p_data': '{"by":"eve"}',
  'change.p_data': '"by":"eve"',
  'change.p_queue': 'theirs',
  p_run_at_ms: null,
  p_publish_grace_ms: '0',
  p_types: '{8}',
  p_keep: 'true',
  p_before: '2020-01-01',
  // What everybody may read.
  p_since: null,
  at: '2020-01-01',
}

function makePlain(name: string, parameter: string): string | null {
  const value = plain[`${name}.${parameter}`] ?? plain[parameter]
  if (value === undefined && !(parameter in plain) && !(`${name}.${parameter}` in plain))
    throw new Error(`what an honest call of ${name} has as its ${parameter} is not known to this test`)
  return value ?? null
}

const numbers = [
  huge,
  `-${huge}`,
  '-9000000000000000000',
  '-1',
  '0',
  '2147483647',
  '-2147483648',
  '32767',
  '8640000000000000',
]
const texts = [
  '',
  'x'.repeat(20_000),
  'x'.repeat(300_000),
  '"',
  '\u001b[2J',
  "'; drop table jobs; --",
  '"a","b"',
  '{',
  '[1]',
  'é',
]
const times = ['infinity', '-infinity', '0001-01-01', '294276-12-31']
/** Whole arrays, for parameters that are such. */
const arrays = ['{}', '{NULL}', '{{a,b},{c,d}}', 'no array', '[5:5]={1}', `{${'1,'.repeat(5_000)}1}`]

/** One byte more than a payload and a `meta` may have. */
const tooLarge: Readonly<Record<string, number>> = { p_payloads: 25_165_825, p_metas: 2_097_153 }

/** A null, and the values of the parameter's type that no normal caller passes. */
export function hostileValues(name: string, parameter: string): readonly (string | null)[] {
  const honest = makePlain(name, parameter)
  const cell = honest?.startsWith('{') ? honest.slice(1, -1) : honest
  const isNumber = cell !== null && /^-?[\d.]+$/.test(cell) && parameter !== 'p_payloads'
  const isUnknown = cell === null || cell === 'NULL'
  const isTime = cell !== null && /^\d{4}-/.test(cell)
  const values = isNumber ? numbers : isTime ? times : isUnknown ? [...numbers, ...texts] : texts
  const large = tooLarge[parameter]
  const all = large === undefined ? values : [...values, 'x'.repeat(large)]
  if (!honest?.startsWith('{')) return [null, ...all]
  return [null, ...arrays, ...all.map(quoted)]
}

const quoted = (cell: string): string => `{"${cell.replaceAll(/["\\]/g, String.raw`\$&`)}"}`

/**
 * Refused or done: both are fine.
 * @param prepared the job of a call that was refused: it is as it was, and making one costs more than the call
 * @returns the job for the next call, if this one was refused
 */
export async function call(
  { log, sql }: Called,
  { called, name, parameters }: RoleFunction,
  hostile: ReadonlyMap<string, string | null>,
  prepared?: string,
): Promise<string | undefined> {
  const id = prepared ?? randomUUID()
  if (prepared === undefined && !name.startsWith('append')) await prepare({ log, sql }, name, id)
  const values = parameters.map((each) => {
    const value = hostile.has(each) ? hostile.get(each) : makePlain(name, each)
    return value === job ? id : value === '{job}' ? `{${id}}` : (value ?? null)
  })
  const marks = values.map((_, index) => `$${index + 1}`).join(', ')
  return sql(`select * from errand.${called}(${marks})`, values).then(
    () => undefined,
    () => id,
  )
}

const ofRuns = new Set([
  'settle',
  'settle_succeeded',
  'complete',
  'beat',
  'set_aside_unsettled',
  'remember',
  'remember_inside',
  'recall',
])

/** A job that waits, one that its worker runs, or one that has ended, as the function needs it. */
async function prepare({ log, sql }: Called, name: string, id: string): Promise<void> {
  await log.append([newJob({ id, queue: 'theirs' })])
  if (name === 'replay' || name === 'skip') await log.cancel([id], { by: 'eve' })
  if (!ofRuns.has(name) && name !== 'claim' && name !== 'take') return
  const by = { id: worker, host: 'host', pid: 1, leaseMs: 600_000, graceMs: 1_000 }
  await log.beat(by, { queues: ['theirs'], taking: true, progress: [] })
  if (!ofRuns.has(name)) return
  await sql(
    `with granted as (insert into errand.grants (worker, request, jobs, runs) values ($2, '', array[$1::uuid], '{1}'))
     update errand.live set state = 4, run = 1, attempt = 1, worker = $2 where id = $1`,
    [id, worker],
  )
}

/** Values of jobs that are beyond the bounds in docs/security.md, a line for each. */
export async function beyondBounds({ sql }: Called): Promise<readonly unknown[]> {
  const century = 100 * 365 * 86_400_000
  const within = (column: string, most: number): string => `coalesce(${column} between 0 and ${most}, true)`
  const fits = {
    names: `j.name ~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$'`,
    queues: `j.queue ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'`,
    keys: within('octet_length(j.key)', 2_048),
    'unique keys': within('octet_length(j.unique_key)', 2_048),
    tags: `coalesce(array_ndims(j.tags) = 1 and array_position(j.tags, null) is null
             and (select max(octet_length(t)) from unnest(j.tags) t) <= 2048, j.tags is null or j.tags = '{}')`,
    meta: within('octet_length(j.meta)', 2_097_152),
    payloads: within('octet_length(j.payload)', 25_165_824),
    codecs: within('octet_length(j.codec)', 128),
    parents: within('octet_length(j.parent_id)', 128),
    timeouts: within('j.timeout_ms', century),
    'unique for': within('j.unique_for_ms', century),
    expiries: `coalesce(j.expires_at between j.dispatched_at and j.dispatched_at + interval '100 years', true)`,
    attempts: 'j.max_attempts between 1 and 1000000',
    crashes: 'j.max_crashes between 1 and 1000000',
    lanes: 'j.lane in (100, 200, 300, 400)',
    'unique modes': 'j.unique_mode in (0, 1, 2)',
    times: `coalesce(e.run_at between '0001-01-01' and '9999-12-31 23:59:59.999+00', true)`,
    'event data': within('octet_length(e.data)', 16_384 + 2),
  }
  const checks = Object.entries(fits).map(([what, fit]) => `(case when not (${fit}) then '${what}' end)`)
  return sql(
    `select distinct t.what from errand.jobs j
       left join errand.job_events e on e.job_id = j.id and e.version = 1
      cross join lateral (values ${checks.join(', ')}) as t (what)
      where t.what is not null`,
  )
}
