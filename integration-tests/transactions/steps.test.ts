import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { createErrand, defineJob, defineMessage, fixed, handle } from '@errand/core'
import type { Context, Errand, JobHandler, Transaction } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { Pool } from 'pg'
import type { PoolClient } from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { applicationOn } from '../fleet/application.ts'
import type { Application } from '../fleet/application.ts'
import { logs, makeEmptyLog } from '../fleet/shared.ts'

const book = defineJob({ name: 'book', retry: { attempts: 5, backoff: fixed(0) } })
const waiting = defineJob({ name: 'waiting' })
const approved = defineMessage({ name: 'approved', payload: z.object({ by: z.string() }) })

/** A table of the application's own, beside the log. */
interface Notes {
  write(tx: Transaction, text: string): Promise<void>
  /** As everybody sees them. */
  read(): Promise<readonly string[]>
}

async function notesOn(name: string, url: string): Promise<Notes> {
  if (name === 'sqlite') {
    const connection = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 10_000 })
    onTestFinished(() => connection.close())
    connection.exec('create table notes (note text not null)')
    return {
      write: async (tx, text) => void (tx as DatabaseSync).prepare('insert into notes values (?)').run(text),
      read: async () =>
        connection
          .prepare('select note from notes')
          .all()
          .map(({ note }) => String(note)),
    }
  }
  const schema = `steps_${randomBytes(6).toString('hex')}`
  const pool = new Pool({ connectionString: inject('postgres'), max: 2 })
  await pool.query(`create schema ${schema}; create table ${schema}.notes (note text not null)`)
  onTestFinished(async () => {
    await pool.query(`drop schema ${schema} cascade`)
    await pool.end()
  })
  return {
    write: async (tx, text) =>
      void (await (tx as PoolClient).query(`insert into ${schema}.notes values ($1)`, [text])),
    read: async () =>
      (await pool.query<{ note: string }>(`select note from ${schema}.notes`)).rows.map(({ note }) => note),
  }
}

interface Scene extends Notes {
  readonly errand: Errand
  readonly application: Application
  /** Starts a worker, dispatches the job, and waits until its state is this one. */
  run(handler: JobHandler, state: string): Promise<string>
  reaches(id: string, state: string): Promise<void>
}

async function scene(name: string): Promise<Scene> {
  const url = makeEmptyLog(name)
  const errand = createErrand({ log: url, driver: 'database', logger: quietLogger })
  onTestFinished(() => errand.close())
  await errand.connect()
  const reaches = async (id: string, state: string): Promise<void> => {
    await until(async () => (await errand.jobs.get(id))?.state === state, { what: `the job is ${state}` })
  }
  return {
    ...(await notesOn(name, url)),
    errand,
    application: applicationOn(name, url),
    reaches,
    async run(handler, state) {
      errand.work({ handlers: [handler] }, { signals: false })
      const { id } = await errand.dispatch(handler.job === waiting ? waiting : book)
      await reaches(id, state)
      return id
    },
  }
}

describe.each(logs)("a step in the application's transaction on %s", (name) => {
  const bookIn = (on: Scene, ctx: Context, text: string, end: 'commit' | 'rollback'): Promise<void> =>
    on.application.transaction(async (tx) => {
      await ctx.step('book', () => on.write(tx, text), { tx })
    }, end)

  test('acts exactly once, though the handler runs three times', async () => {
    const on = await scene(name)
    const id = await on.run(
      handle(book, async (_, ctx) => {
        await bookIn(on, ctx, `run ${ctx.run}`, 'commit')
        if (ctx.run < 3) throw new Error('after the commit')
      }),
      'succeeded',
    )
    expect(await on.read()).toEqual(['run 1'])
    expect((await on.errand.jobs.memory(id)).steps).toMatchObject([{ name: 'book', run: 1 }])
  })

  test('a transaction that is rolled back and repeated in the same run acts once', async () => {
    const on = await scene(name)
    await on.run(
      handle(book, async (_, ctx) => {
        await bookIn(on, ctx, 'first', 'rollback')
        await bookIn(on, ctx, 'second', 'commit')
        await bookIn(on, ctx, 'third', 'commit')
      }),
      'succeeded',
    )
    expect(await on.read()).toEqual(['second'])
  })

  test('one that fails leaves neither its effect nor its record', async () => {
    const on = await scene(name)
    const id = await on.run(
      handle(book, async (_, ctx) =>
        on.application.transaction(async (tx) => {
          await ctx.step('book', () => on.write(tx, `run ${ctx.run}`), { tx })
          if (ctx.run === 1) throw new Error('before the commit')
        }, 'commit'),
      ),
      'succeeded',
    )
    expect(await on.read()).toEqual(['run 2'])
    expect((await on.errand.jobs.memory(id)).steps).toMatchObject([{ name: 'book', run: 2 }])
  })

  test('a message that is sent in it comes with its commit, and never was if that rolls back', async () => {
    const on = await scene(name)
    const got: string[] = []
    const id = await on.run(
      handle(waiting, async (_, ctx) => void got.push((await ctx.receive('ok', approved)).by)),
      'suspended',
    )
    const send = (by: string, end: 'commit' | 'rollback'): Promise<void> =>
      on.application.transaction(async (tx) => {
        expect(await on.errand.jobs.send(id, approved, { by }, { tx })).toMatchObject({ status: 'sent' })
      }, end)
    await send('eve', 'rollback')
    await send('ada', 'commit')
    await on.reaches(id, 'succeeded')
    expect(got).toEqual(['ada'])
  })
})
