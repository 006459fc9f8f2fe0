import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import type { Client } from 'pg'
import { describe, expect, inject, test } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { JobLog, NewJob, WorkerRef } from '@errand/core/ports'
import { postgres } from '@errand/job-log'
import { newJob, outcomes, quietLogger, recorded, settlement, workerRef } from '@errand/testkit'
import { ownSchema } from './schema.ts'

const queue = 'honest'
const huge = '9223372036854775807'

interface Stage {
  readonly log: JobLog
  readonly client: Client
  readonly schema: string
  readonly by: WorkerRef
  readonly sql: (text: string, values?: readonly unknown[]) => Promise<Record<string, unknown>[]>
}

async function open(): Promise<Stage> {
  const { url, schema, client } = await ownSchema()
  const log = postgres({ url }).open({ clock: systemClock, logger: quietLogger })
  await log.migrate()
  const by = workerRef({ leaseMs: 600_000 })
  await log.beat(by, { queues: [queue], taking: true, progress: [] })
  const sql: Stage['sql'] = async (text, values = []) =>
    (await client.query<Record<string, unknown>>(text.replaceAll('errand.', `${schema}.`), [...values])).rows
  return { log, client, schema, by, sql }
}

/** Nobody's rows have stopped the line: what is honest is granted, ends, and can be looked at; sweeps run. */
async function lineGoesOn({ log, by }: Stage, honest: readonly NewJob[]): Promise<void> {
  const wanted = new Set(honest.map(({ id }) => id))
  for (let takes = 0; wanted.size > 0; takes += 1) {
    expect(takes, 'all that is honest was granted').toBeLessThan(50)
    await log.sweep({ limit: 100, republish: true, queues: [queue], skipQueues: [] })
    const claims = await log.take([queue], 10, by, randomUUID())
    const answers = await log.settle(
      claims.map((claim) => settlement(claim, outcomes.succeed())),
      by,
    )
    for (const [index, { id }] of claims.entries()) {
      if (!wanted.delete(id)) continue
      expect(answers[index]).toMatchObject({ result: 'settled', state: 'succeeded' })
    }
    await log.passKeys(100)
  }
  await log.list({}, { limit: 50 })
  await log.queues()
}

describe.skipIf(inject('postgres') === undefined)('rows that no code of ours would write', () => {
  /** Parameters of `append`, by name and in order: what a plain job has, and what somebody may send instead. */
  const number = (plain: string | null) =>
    fc.oneof({ weight: 4, arbitrary: fc.constant(plain) }, { weight: 1, arbitrary: numbers })
  const numbers = fc.constantFrom(
    huge,
    `-${huge}`,
    '-9000000000000000000',
    '-1',
    '0',
    '2147483647',
    '32767',
    '8640000000000000',
    'NULL',
  )
  const text = (plain: string | null) =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(plain) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          '',
          'x'.repeat(20_000),
          'NULL',
          '"',
          '\u001b[2J',
          "'; drop table jobs; --",
          '"a","b"',
          '{',
          'é',
        ),
      },
    )
  const large = (plain: string | null, bytes: number) =>
    fc.oneof({ weight: 9, arbitrary: text(plain) }, { weight: 1, arbitrary: fc.constant('x'.repeat(bytes)) })
  const parameters = {
    name: text('honest.job'),
    payload_version: number('1'),
    queue: fc.oneof({ weight: 9, arbitrary: fc.constant(queue) }, { weight: 1, arbitrary: text(queue) }),
    lane: number('300'),
    codec: text('json'),
    payload: large('1', 300_000),
    tags: fc.constantFrom(
      null,
      '{}',
      '{a}',
      '{a,NULL}',
      '{{a,b},{c,d}}',
      `{${'x'.repeat(20_000)}}`,
      'no array',
    ),
    meta: large(null, 300_000),
    key: text(null),
    skip: fc.constantFrom(null, 'true'),
    unique_key: text(null),
    unique_mode: number(null),
    unique_for: number(null),
    delay: number(null),
    at: number(null),
    expires: number(null),
    parent: text(null),
    grace: number('0'),
    attempts: number('5'),
    crashes: number('3'),
    crash_fail: fc.constantFrom(null, 'false'),
    timeout: number('60000'),
    data: large(null, 100_000),
  }
  const quoted = (cell: string | null): string =>
    cell === null || cell === 'NULL' ? 'NULL' : `"${cell.replaceAll(/["\\]/g, '\\$&')}"`
  const array = (cell: string | null, count: number): string | null =>
    cell === null ? null : `{${Array.from({ length: count }, () => quoted(cell)).join(',')}}`

  test('whatever a dispatcher sends to its functions, the queue goes on', async () => {
    const stage = await open()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.record(parameters), fc.constantFrom(0, 1, 1, 1, 2), fc.boolean()), {
          minLength: 1,
          maxLength: 6,
        }),
        async (calls) => {
          for (const [given, cells, alike] of calls) {
            const ids = `{${randomUUID()}}`
            const { payload, tags, meta, ...rest } = given
            const values = alike
              ? [
                  ids,
                  array(payload, cells),
                  array(tags, cells),
                  array(meta, cells),
                  rest.name,
                  rest.payload_version,
                  rest.queue,
                  rest.lane,
                  rest.codec,
                  rest.expires,
                  rest.parent,
                  rest.grace,
                  rest.attempts,
                  rest.crashes,
                  rest.crash_fail,
                  rest.timeout,
                  rest.data,
                ]
              : [ids, ...Object.values(given).map((cell) => array(cell, cells)), null]
            const call = `select errand.append${alike ? '_alike' : ''}(${values.map((_, index) => `$${index + 1}`).join(', ')})`
            // Refused or stored: both are fine.
            await stage.sql(call, values).catch(() => undefined)
          }
          const honest = [newJob({ queue }), newJob({ queue, ordering: { key: 'mine', onFailure: 'block' } })]
          await stage.log.append(honest)
          await lineGoesOn(stage, honest)
        },
      ),
      { numRuns: 12 },
    )
    await stage.log.close()
  })

  /** What somebody may have written into a row: columns of `live`, then of `jobs`. */
  const damages: readonly (readonly [table: 'live' | 'jobs', column: string, values: readonly string[]])[] = [
    ...['run', 'attempt', 'crashes', 'streak', 'version', 'max_crashes', 'replays'].map(
      (column) => ['live', column, ['2147483647', '-2147483648', '0']] as const,
    ),
    ...['publishes', 'lane', 'unique_mode'].map((column) => ['live', column, ['32767', '-32768']] as const),
    ['live', 'timeout_ms', [huge, `-${huge}`]],
    ...['parked_since', 'publish_after'].map(
      (column) => ['live', column, [`'infinity'`, `'-infinity'`]] as const,
    ),
    ['live', 'name', [`''`, `repeat('x', 20000)`]],
    ['live', 'tags', [`'{NULL}'`, `'{{a,b},{c,d}}'`]],
    ...['expires_at', 'dispatched_at'].map(
      (column) => ['jobs', column, [`'infinity'`, `'-infinity'`]] as const,
    ),
    ...['max_attempts', 'payload_version'].map(
      (column) => ['jobs', column, ['2147483647', '-2147483648']] as const,
    ),
    ['jobs', 'unique_for_ms', [huge, `-${huge}`]],
    ['jobs', 'meta', [`'no json'`, `'[1]'`]],
  ]
  const damage = fc
    .constantFrom(...damages)
    .chain(([table, column, values]) => fc.constantFrom(...values).map((value) => ({ table, column, value })))
  const kinds = ['ready', 'due', 'running', 'blocked'] as const

  test('whatever a row holds, one that cannot be worked with fails alone, with its reason', async () => {
    const stage = await open()
    const { log, sql } = stage
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...kinds), damage), { minLength: 1, maxLength: 5 }),
        async (all) => {
          const bad: string[] = []
          for (const [kind, { table, column, value }] of all) {
            const key = randomUUID()
            const ordering = { key, onFailure: 'skip' } as const
            const unique = { key, until: 'finished', forMs: 1_000 } as const
            const job = newJob({
              queue,
              publishGraceMs: 0,
              ...(kind === 'due' ? { due: { delayMs: 1 } } : {}),
              ...(kind === 'blocked' ? { ordering } : { unique }),
            })
            const before = newJob({ queue, ordering })
            await log.append(kind === 'blocked' ? [before, job] : [job])
            bad.push(job.id)
            if (kind === 'running') {
              const gone = workerRef({ leaseMs: 1 })
              await sql(
                `update errand.live set state = 4, run = 1, attempt = 1, publish_after = null, worker = $2 where id = $1`,
                [job.id, gone.id],
              )
            }
            await sql(`update errand.${table} set ${column} = ${value} where id = $1`, [job.id])
          }
          const honest = Array.from({ length: 3 }, () => newJob({ queue }))
          await log.append(honest)
          await lineGoesOn(stage, honest)
          // What is left of them can be looked at, cancelled and replayed; or says why not, for this job alone.
          for (const id of bad) {
            const record = await log.get(id)
            if (record?.state === 'failed' && record.error) expect(record.error.text).toContain('message')
            await log.eventsOf(id)
          }
          await log.cancel([...bad, ...honest.map(({ id }) => id)], { by: 'ada' }).catch((error: unknown) => {
            expect(error).toMatchObject({
              code: 'E_LOG',
              message: expect.stringContaining('job ') as unknown,
            })
          })
          await sql(`delete from errand.live where id = any ($1)`, [bad])
        },
      ),
      { numRuns: 60 },
    )
    await log.close()
  })

  test('a run whose row cannot be worked with any more is failed with its reason, and its neighbours succeed', async () => {
    const { log, by, sql } = await open()
    const jobs = Array.from({ length: 5 }, () => newJob({ queue }))
    await log.append(jobs)
    const claims = await log.take([queue], 5, by, randomUUID())
    await sql('update errand.live set version = 2147483647 where id = $1', [jobs[2]!.id])
    const answers = recorded(
      await log.settle(
        claims.map((claim) => settlement(claim, outcomes.succeed())),
        by,
      ),
    )
    expect(answers.map(({ state }) => state)).toEqual([
      'succeeded',
      'succeeded',
      'failed',
      'succeeded',
      'succeeded',
    ])
    const failed = await log.get(jobs[2]!.id)
    expect(failed?.error?.text).toContain('its row in the job log cannot be worked with')
    await log.close()
  })
})
