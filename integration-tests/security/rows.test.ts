import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { JobLog, NewJob, WorkerRef } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { newJob, outcomes, quietLogger, recorded, settlement, workerRef } from '@errand/testkit'
import { beyondBounds, call, functionsOfRoles, hostileValues, huge } from './hostile-calls.ts'
import { ownSchema } from './schema.ts'
import { tries } from '../services/tries.ts'

const queue = 'honest'

interface Stage {
  readonly log: JobLog
  readonly by: WorkerRef
  readonly sql: (text: string, values?: readonly unknown[]) => Promise<Record<string, unknown>[]>
  /** How far its events were read. */
  cursor: string | undefined
}

async function open(): Promise<Stage> {
  const { url, schema, client } = await ownSchema()
  const log = postgres({ url }).open({ clock: systemClock, logger: quietLogger })
  onTestFinished(() => log.close())
  await log.migrate()
  const by = workerRef({ leaseMs: 600_000 })
  await log.beat(by, { queues: [queue], taking: true, progress: [] })
  const sql: Stage['sql'] = async (text, values = []) =>
    (await client.query<Record<string, unknown>>(text.replaceAll('errand.', `${schema}.`), [...values])).rows
  return { log, by, sql, cursor: undefined }
}

/** Checks that the queue goes on: normal jobs are granted, end, and can be read, and sweeps run. */
async function lineGoesOn(stage: Stage, honest: readonly NewJob[]): Promise<void> {
  const { log, by } = stage
  await log.beat(by, { queues: [queue], taking: true, progress: [] })
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
    await log.passNotes(100)
  }
  await log.list({}, { limit: 50 })
  await log.queues()
  await log.workers()
  await log.backlogs?.(100)
  for (let more = true; more;) {
    // Operators may prune what nobody has read yet.
    const page = await log.read({ after: stage.cursor, limit: 500 }).catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'E_CURSOR' })
      return { events: [], next: undefined }
    })
    stage.cursor = page.next
    more = page.events.length === 500
  }
}

describe.skipIf(inject('postgres') === undefined)('rows that no code of ours would write', () => {
  test('whatever the roles send to their functions, the queue goes on', async () => {
    const stage = await open()
    const functions = await functionsOfRoles(stage)
    const covered = new Set(functions.flatMap(({ roles }) => roles))
    expect([...covered].toSorted()).toEqual(['dispatcher', 'operator', 'worker'])
    for (const each of functions) {
      const { name, parameters } = each
      const honest = [newJob({ queue }), newJob({ queue, ordering: { key: 'mine', onFailure: 'block' } })]
      await stage.log.append(honest)
      // One hostile value in a call: with several, the first refused value would hide the others.
      let job: string | undefined
      for (const hostile of parameters)
        for (const value of hostileValues(name, hostile))
          job = await call(stage, each, new Map([[hostile, value]]), job)
      // Checked before stored jobs have ended and been pruned.
      if (name.startsWith('append')) expect(await beyondBounds(stage), name).toEqual([])
      await lineGoesOn(stage, honest)
    }
    await stage.log.close()
  })

  test('whatever two values a dispatcher sends together, the queue goes on', async () => {
    const stage = await open()
    const functions = (await functionsOfRoles(stage)).filter(
      ({ roles, parameters }) => roles.includes('dispatcher') && parameters.length > 1,
    )
    const hostileCall = fc.constantFrom(...functions).chain((each) =>
      fc.uniqueArray(fc.constantFrom(...each.parameters), { minLength: 2, maxLength: 2 }).chain((chosen) =>
        fc.tuple(...chosen.map((one) => fc.constantFrom(...hostileValues(each.name, one)))).map((values) => ({
          each,
          hostile: new Map(chosen.map((one, index) => [one, values[index]!])),
        })),
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(hostileCall, { minLength: 1, maxLength: 10 }), async (calls) => {
        for (const { each, hostile } of calls) await call(stage, each, hostile)
        const honest = [newJob({ queue }), newJob({ queue, ordering: { key: 'mine', onFailure: 'block' } })]
        await stage.log.append(honest)
        await lineGoesOn(stage, honest)
      }),
      tries(30),
    )
    await stage.log.close()
  })

  /** Values that another program may have written into a row: columns of `live`, then of `jobs`. */
  const damages: readonly (readonly [table: 'live' | 'jobs', column: string, values: readonly string[]])[] = [
    ...['run', 'attempt', 'crashes', 'streak', 'version'].map(
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
    ...['max_attempts', 'max_crashes', 'payload_version', 'replays'].map(
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
                `with granted as (
                   insert into errand.grants (worker, request, jobs, runs) values ($2, '', array[$1::uuid], '{1}'))
                 update errand.live set state = 4, run = 1, attempt = 1, worker = $2 where id = $1`,
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
            await log.readHistory(id)
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
      tries(60),
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
