import { ErrandError } from '@errand/core/ports'
import type { LogRoles } from '@errand/core/ports'
import { migrations } from './migrations/index.ts'

type RoleName = keyof LogRoles

interface Rights {
  /** For the comment above its grants. */
  readonly does: string
  readonly functions: readonly string[]
  /** Rights on tables, as a grant has them. */
  readonly tables: readonly string[]
}

/** Which rows each function gives: those of one job, for whoever knows its id. */
const grantedTables: Readonly<Record<string, string>> = {
  jobs: 'id',
  live: 'id',
  progress: 'job_id',
  job_events: 'job_id',
}

/** What connecting reads, and every read beside it. */
const connecting = {
  functions: ['clock', 'ms', 'timeline', 'written', 'newest', 'note_timeline'],
  tables: ['select on meta', 'select on migrations', 'select on epochs'],
} as const

const dispatching: Rights = {
  does: 'dispatches, and waits for jobs whose ids it knows',
  functions: [
    'append',
    'append_alike',
    'locked_keys',
    ...Object.keys(grantedTables).map((table) => `granted_${table}`),
  ],
  tables: [],
}

const rights: Readonly<Record<RoleName, Rights>> = {
  dispatcher: dispatching,
  worker: {
    does: 'runs jobs, relays them, and dispatches more',
    functions: [
      'append',
      'append_alike',
      'locked_keys',
      'claim',
      'take',
      'settle',
      'settle_succeeded',
      'complete',
      'beat',
      'pass_noted_keys',
      'sweep',
      'published',
      'expedite',
      'set_aside_unclaimable',
      'set_aside_unsweepable',
      'set_aside_unsettled',
      'set_aside_heirs',
      'ensure_partitions',
    ],
    tables: [
      'select on jobs, live, job_events, progress, workers, paused_queues, sweeps',
      // Its own row, when it stops.
      'delete on workers',
    ],
  },
  operator: {
    does: 'looks at everything, and acts on jobs, queues and workers',
    functions: [
      'cancel',
      'replay',
      'skip',
      'change',
      'published',
      'expedite',
      'prune',
      'drop_events',
      'set_aside_heirs',
    ],
    tables: [
      'select on jobs, live, job_events, job_events_default, progress, keys, key_notes, unique_keys, workers',
      'select on paused_queues, sweeps, prunes',
      'insert, update, delete on paused_queues',
      'update (stop) on workers',
      'update (transfer, transfer_revision) on meta',
    ],
  },
}

const names = Object.keys(rights) as RoleName[]

/**
 * The rights of the roles, as statements that may be run again and again. Functions that a role calls act with the rights
 * of their owner, so that the role needs none on the tables that they write; their search path is fixed already.
 * @param schema quoted
 * @throws `E_OPTION`
 */
export function grantsOf(schema: string, roles: LogRoles): string {
  const given = names.flatMap((name) => {
    const role = roles[name]
    return role === undefined ? [] : [{ name, role: quoteRole(name, role) }]
  })
  if (given.length === 0)
    throw new ErrandError('E_OPTION', `no role is named; give at least one of ${names.join(', ')}`)
  const others = ['public', ...new Set(given.map(({ role }) => role))].join(', ')
  const definers = [
    ...new Set(['newest', 'note_timeline', ...names.flatMap((name) => rights[name].functions)]),
  ].filter((name) => !name.startsWith('granted_'))
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
    '-- Nobody but the owner, and who is named below.',
    `revoke all on schema ${schema} from ${others};`,
    ...(['table', 'sequence', 'function'] as const).map((kind) => {
      const names = made(kind, schema).map((name) => `${schema}.${name}`)
      return `revoke all on ${kind}\n${listed(names)}\n  from ${others};`
    }),
    'do $$ declare v_part regclass; begin',
    `  for v_part in select inhrelid from pg_inherits where inhparent = '${schema}.job_events'::regclass loop`,
    `    execute format('revoke all on table %s from ${others}', v_part);`,
    '  end loop;',
    'end $$;',
    '',
    '-- With the rights of their owner.',
    ...definers.map((name) => `alter function ${schema}.${name} security definer;`),
    '',
    '-- One job, for whoever knows its id.',
    ...Object.entries(grantedTables).flatMap(([table, id]) => [
      `create or replace function ${schema}.granted_${table}(p_id uuid) returns setof ${schema}.${table} language sql stable`,
      `  security definer set search_path to pg_catalog, pg_temp`,
      `  as $$ select * from ${schema}.${table} t where t.${id} = p_id $$;`,
      `revoke all on function ${schema}.granted_${table} from public;`,
    ]),
    ...given.flatMap(({ name, role }) => [
      '',
      `-- ${name}: ${rights[name].does}.`,
      ...granted(schema, rights[name], role),
    ]),
    '',
  ].join('\n')
}

/** What the migrations make, read from their own statements: nothing else is Errand's to take rights away from. */
function made(kind: 'table' | 'sequence' | 'function', schema: string): readonly string[] {
  const pattern = new RegExp(`create ${kind} ${schema}\\.(\\w+)`, 'g')
  const names = migrations.flatMap((migration) =>
    [...migration.sql(schema).matchAll(pattern)].map(([, name]) => name!),
  )
  return kind === 'table' ? ['migrations', ...names] : names
}

/** The same as a script, for people to read and to run. */
export function scriptOf(schema: string, grants: string): string {
  const title = `-- The rights of roles on the job log in schema ${schema}. For its owner to run, after each errand migrate.`
  return `${title}\nbegin;\n${grants}commit;\n`
}

function granted(schema: string, { functions, tables }: Rights, role: string): string[] {
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
function listed(all: readonly string[]): string {
  const lines: string[] = ['']
  for (const [index, name] of all.entries()) {
    const word = index + 1 < all.length ? `${name},` : name
    if ((lines.at(-1)?.length ?? 0) + word.length >= lineWidth) lines.push('')
    lines.push(`${lines.pop() ?? ''} ${word}`)
  }
  return lines.map((line) => ` ${line}`).join('\n')
}

/** PostgreSQL cuts longer names, so that two of them could be one. */
const longestRole = 63

/** Nothing that could end a quotation; and none of the words that mean somebody else than a role of that name. */
function quoteRole(what: string, role: string): string {
  const fits = typeof role === 'string' && /^[\p{L}\p{N}_][\p{L}\p{N}_.@ -]*$/u.test(role)
  if (fits && Buffer.byteLength(role) <= longestRole && role !== 'public') return `"${role}"`
  throw new ErrandError(
    'E_OPTION',
    `${what}: ${JSON.stringify(role)} is not the name of a role; use at most ${longestRole} bytes of letters, digits and _ . @ -`,
  )
}
