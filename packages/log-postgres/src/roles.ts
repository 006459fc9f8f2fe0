import { ErrandError } from '@errand/core/ports'
import type { LogRoles } from '@errand/core/ports'
import { release as thisRelease } from './migrations/release.ts'
import type { Release } from './migrations/release.ts'
import { createdIn } from './sql-files.ts'

type RoleName = keyof LogRoles

interface Rights {
  /** The comment above its grants. */
  readonly does: string
  /** Rules, of every installed version: older workers call their own version until they are replaced. */
  readonly rules: readonly string[]
  /** Rights on tables, in the words of a grant. */
  readonly tables: readonly string[]
}

/** Functions that return the rows of one job to a caller that knows its id, and the column with that id. */
const grantedTables: Readonly<Record<string, string>> = {
  known: 'id',
  live: 'id',
  progress: 'job_id',
  flows: 'id',
}

/** What connecting needs, and every read as well. */
const connecting = {
  /** They belong to the tables, so they have no version. */
  functions: ['clock', 'ms', 'timeline', 'written', 'range_end'],
  rules: ['newest', 'note_timeline'],
  tables: ['select on meta', 'select on migrations', 'select on epochs'],
} as const

const dispatching: Rights = {
  does: 'dispatches, and waits for jobs whose ids it knows',
  rules: [
    'append',
    'append_alike',
    'append_flows',
    'debounce',
    'locked_keys',
    'events_of',
    'unmet',
    'served',
    'send',
  ],
  tables: [],
}

const rights: Readonly<Record<RoleName, Rights>> = {
  dispatcher: dispatching,
  worker: {
    does: 'runs jobs, relays them, and dispatches more',
    rules: [
      ...dispatching.rules,
      'ends_of',
      'remember',
      'remember_inside',
      'recall',
      'claim',
      'take',
      'settle',
      'settle_succeeded',
      'complete',
      'beat',
      'pass_notes',
      'sweep',
      'save_schedules',
      'save_limits',
      'close_limit',
      'published',
      'expedite',
      'set_aside_unclaimable',
      'set_aside_unsweepable',
      'set_aside_unsettled',
      'set_aside_heirs',
      'ensure_partitions',
    ],
    tables: [
      'select on jobs, known, live, ended, events, job_events, progress, workers, grants, runs, paused_queues, limited_queues, sweeps',
      'select on schedules, limits, limit_keys, needs, flows, members, steps, messages',
      // Its own row, when it stops.
      'delete on workers',
    ],
  },
  operator: {
    does: 'looks at everything, and acts on jobs, queues and workers',
    rules: [
      'events_of',
      'unmet',
      'ends_of',
      'served',
      'send',
      'cancel',
      'cancel_flow',
      'replay_flow',
      'replay',
      'skip',
      'change',
      'published',
      'expedite',
      'prune',
      'prune_flows',
      'drop_events',
      'save_schedules',
      'save_limits',
      'close_limit',
      'set_aside_heirs',
    ],
    tables: [
      'select on jobs, known, live, ended, events, events_default, job_events, progress, keys, key_notes, unique_keys, workers',
      'select on succeeded_ranges, grants, runs, paused_queues, limited_queues, sweeps, prunes, unpruned, schedules',
      'select on limits, limit_keys, limit_notes, needs, flows, members, work_notes, kept, kept_ends, steps, messages, message_notes',
      'insert, update, delete on paused_queues, limited_queues',
      'update (stop) on workers',
      'update (transfer, transfer_revision) on meta',
    ],
  },
}

const names = Object.keys(rights) as RoleName[]

/**
 * The rights of the roles, as statements that may be run repeatedly. Functions that a role calls act with the rights of their
 * owner, so the role needs no rights on the tables that they write. Their search path is fixed already.
 * @param schema quoted
 * @throws `E_OPTION`
 */
export function makeGrants(schema: string, roles: LogRoles, release: Release = thisRelease): string {
  const given = names.flatMap((name) => {
    const role = roles[name]
    return role === undefined ? [] : [{ name, role: quoteRole(name, role) }]
  })
  if (given.length === 0)
    throw new ErrandError('E_OPTION', `no role is named; give at least one of ${names.join(', ')}`)
  const others = ['public', ...new Set(given.map(({ role }) => role))].join(', ')
  const rules = release.rules()
  const tables = release
    .migrations()
    .map((migration) => migration.tables ?? '')
    .join('\n')
  const made = {
    table: ['migrations', ...createdIn(tables, 'table'), ...createdIn(tables, 'view')],
    sequence: createdIn(tables, 'sequence'),
    function: createdIn(tables, 'function'),
  }
  const called = [...connecting.rules, ...names.flatMap((name) => rights[name].rules)]
  return [
    '-- One at a time, and not beside a migration.',
    `select pg_advisory_xact_lock(hashtext('errand migrate'), hashtext('${schema}'));`,
    '-- Without its own rights the owner could not even give them back.',
    'do $$ begin',
    `  if (select pg_get_userbyid(nspowner) from pg_namespace where oid = '${schema}'::regnamespace)`,
    `     in (${given.map(({ role }) => `'${role.slice(1, -1)}'`).join(', ')}) then`,
    `    raise exception 'errand: the owner of the job log has all rights already; name another role' using errcode = '22023';`,
    '  end if;',
    'end $$;',
    '',
    '-- Only the owner, and the roles that are named below.',
    `revoke all on schema ${schema} from ${others};`,
    ...(['table', 'sequence', 'function'] as const).map((kind) => {
      const names = made[kind].map((name) => `${schema}.${name}`)
      return `revoke all on ${kind}\n${listed(names)}\n  from ${others};`
    }),
    'do $$ declare v_part regclass; begin',
    `  for v_part in select inhrelid from pg_inherits where inhparent = '${schema}.events'::regclass loop`,
    `    execute format('revoke all on table %s from ${others}', v_part);`,
    '  end loop;',
    'end $$;',
    '',
    '-- Rules, of every version that is there: workers that were not replaced yet call those of an older one. What a role',
    '-- may call acts with the rights of its owner.',
    'do $$ declare v_rule regprocedure; v_name text; begin',
    '  for v_rule, v_name in',
    `    select p.oid, regexp_replace(p.proname, '_v[0-9]+$', '') from pg_proc p`,
    `     where p.pronamespace = '${schema}'::regnamespace and p.proname ~ '_v[0-9]+$'`,
    '  loop',
    `    if v_name = any ('{${toArray(createdIn(rules, 'function'))}}') then`,
    `      execute format('revoke all on function %s from ${others}', v_rule);`,
    '    end if;',
    `    if v_name = any ('{${toArray(called)}}') then`,
    `      execute format('alter function %s security definer', v_rule);`,
    '    end if;',
    ...given.flatMap(({ name, role }) => [
      `    if v_name = any ('{${toArray([...connecting.rules, ...rights[name].rules])}}') then`,
      `      execute format('grant execute on function %s to ${role}', v_rule);`,
      '    end if;',
    ]),
    '  end loop;',
    'end $$;',
    '',
    '-- One job, by its id.',
    ...Object.entries(grantedTables).flatMap(([table, id]) => [
      `create or replace function ${schema}.granted_${table}(p_id uuid) returns setof ${schema}.${table} language sql stable`,
      `  security definer set search_path to pg_catalog, pg_temp`,
      `  as $$ select * from ${schema}.${table} t where t.${id} = p_id $$;`,
      `revoke all on function ${schema}.granted_${table} from public;`,
    ]),
    ...given.flatMap(({ name, role }) => [
      '',
      `-- ${name}: ${rights[name].does}.`,
      ...granted(
        schema,
        rights[name],
        role,
        name === 'dispatcher' ? Object.keys(grantedTables).map((table) => `granted_${table}`) : [],
      ),
    ]),
    '',
  ].join('\n')
}

/** The same as a script, for people to read and to run. */
export function makeScript(schema: string, grants: string): string {
  const title = `-- The rights of roles on the job log in schema ${schema}. For its owner to run, after each errand migrate.`
  return `${title}\nbegin;\n${grants}commit;\n`
}

/** The members of an array literal, a few on each line. */
function toArray(all: readonly string[]): string {
  return `\n${listed([...new Set(all)], 6)}\n      `
}

function granted(schema: string, { tables }: Rights, role: string, functions: readonly string[]): string[] {
  return [
    `grant usage on schema ${schema} to ${role};`,
    ...[...connecting.tables, ...tables].map((right) => {
      const [what = '', on = ''] = right.split(' on ')
      return `grant ${what} on ${on.replaceAll(/\w+/g, (table) => `${schema}.${table}`)} to ${role};`
    }),
    `grant execute on function`,
    `${listed([...connecting.functions, ...functions].map((name) => `${schema}.${name}`))} to ${role};`,
  ]
}

const lineWidth = 110

/** Names with commas between, in lines that fit. */
function listed(all: readonly string[], indent = 1): string {
  const lines: string[] = ['']
  for (const [index, name] of all.entries()) {
    const word = index + 1 < all.length ? `${name},` : name
    if ((lines.at(-1)?.length ?? 0) + word.length >= lineWidth) lines.push('')
    lines.push(`${lines.pop() ?? ''} ${word}`)
  }
  return lines.map((line) => `${' '.repeat(indent)}${line}`).join('\n')
}

/** PostgreSQL cuts longer names, so that two of them could be one. */
const longestRole = 63

/** Refuses text that could end a quotation, and words such as `public` that do not mean a role of that name. */
function quoteRole(what: string, role: string): string {
  const fits = typeof role === 'string' && /^[\p{L}\p{N}_][\p{L}\p{N}_.@ -]*$/u.test(role)
  if (fits && Buffer.byteLength(role) <= longestRole && role !== 'public') return `"${role}"`
  throw new ErrandError(
    'E_OPTION',
    `${what}: ${JSON.stringify(role)} is not the name of a role; use at most ${longestRole} bytes of letters, digits and _ . @ -`,
  )
}
