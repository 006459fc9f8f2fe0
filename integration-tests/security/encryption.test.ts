import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createErrand, defineJob, handle } from '@errand/core'
import type { Errand } from '@errand/core'
import { until } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { logs, makeFolder } from '../fleet/shared.ts'
import { ownSchema } from './schema.ts'

/** A mark in every text of a job. It must be found only in decrypted texts. */
const marker = 'XYZZY-4111-1111'
const key = (): string => randomBytes(32).toString('base64')
const secret = z.object({ card: z.string() })
const pay = defineJob({
  name: 'security.pay',
  queue: 'pay',
  payload: secret,
  returns: secret,
  retry: { attempts: 1 },
})
const refund = defineJob({ name: 'security.refund', queue: 'pay', payload: secret, returns: secret })
const decline = defineJob({ name: 'security.decline', queue: 'pay', payload: secret, retry: { attempts: 1 } })
const later = defineJob({ name: 'security.later', queue: 'pay', payload: secret })

/** A log that can be opened with other keys, searched as raw bytes, and written to without Errand. */
interface Vault {
  open(keys?: readonly string[]): { readonly errand: Errand; readonly logged: () => string }
  bytes(): Promise<string>
  swapPayloads(first: string, second: string): Promise<void>
}

const vaults: Readonly<Record<string, () => Promise<Vault>>> = {
  sqlite: async () => {
    const folder = makeFolder()
    const file = join(folder, 'errand.db')
    return {
      open: (keys) => opened(`sqlite:${file}`, keys),
      // The write-ahead log beside it as well.
      bytes: async () =>
        readdirSync(folder)
          .map((name) => readFileSync(join(folder, name), 'latin1'))
          .join(''),
      swapPayloads: async (first, second) => {
        const { DatabaseSync } = await import('node:sqlite')
        const db = new DatabaseSync(file)
        const rows = db
          .prepare(
            'select sequence, payload from errand_payloads natural join errand_jobs where id in (?, ?)',
          )
          .all(first, second)
        const put = db.prepare('update errand_payloads set payload = ? where sequence = ?')
        for (const [index, { sequence }] of rows.entries()) put.run(rows[1 - index]!['payload']!, sequence!)
        db.close()
      },
    }
  },
  postgres: async () => {
    const { url, schema, client } = await ownSchema()
    return {
      open: (keys) => opened(url, keys),
      bytes: async () => {
        const { rows } = await client.query<{ name: string }>(
          "select relname as name from pg_class where relnamespace = $1::regnamespace and relkind in ('r', 'p')",
          [schema],
        )
        let all = ''
        for (const { name } of rows) {
          const found = await client.query<{ text: string }>(
            `select coalesce(string_agg(t::text, ' '), '') as text from ${schema}.${name} t`,
          )
          all += found.rows[0]?.text ?? ''
        }
        return all
      },
      swapPayloads: async (first, second) =>
        void (await client.query(
          `update ${schema}.jobs j set payload = o.payload from ${schema}.jobs o
            where (j.id = $1 and o.id = $2) or (j.id = $2 and o.id = $1)`,
          [first, second],
        )),
    }
  },
}

function opened(log: string, keys: readonly string[] | undefined): ReturnType<Vault['open']> {
  let lines = ''
  const keep = (o: object, m?: string): void => void (lines += `${JSON.stringify(o)} ${m}\n`)
  const logger = { debug: keep, info: keep, warn: keep, error: keep }
  const errand = createErrand({ log, logger, ...(keys ? { encrypt: { keys } } : {}) })
  onTestFinished(() => errand.close())
  return { errand, logged: () => lines }
}

/** Runs what is asked until the test ends; every text of theirs carries the marker. */
function work(errand: Errand, ran: string[] = []): string[] {
  const worker = errand.work(
    {
      handlers: [
        handle(pay, async ({ card }, ctx) => {
          ctx.progress(0.5, `charging ${card}`)
          await until(async () => (await errand.jobs.get(ctx.job.id))?.progress)
          ran.push(card)
          return { card }
        }),
        handle(refund, ({ card }) => {
          ran.push(card)
          return { card }
        }),
        handle(decline, ({ card }) => {
          throw new Error(`declined ${card}`)
        }),
        handle(later, ({ card }, ctx) => ctx.snooze('1h', `${card} is locked`)),
      ],
    },
    { signals: false },
  )
  onTestFinished(() => worker.stop())
  return ran
}

describe.each(logs)('encryption on %s', (name) => {
  test('no text of a job is in clear in the database or a log, and a process with the key reads all of it', async () => {
    const vault = await vaults[name]!()
    const keys = [key()]
    const { errand, logged } = vault.open(keys)
    work(errand)
    const paid = await errand.dispatch(pay, { card: marker })
    const declined = await errand.dispatch(decline, { card: marker })
    const snoozed = await errand.dispatch(later, { card: marker })
    await errand.result(paid)
    await expect(errand.result(declined)).rejects.toMatchObject({ cause: { message: `declined ${marker}` } })
    await until(async () => (await errand.events.of(snoozed.id)).some(({ type }) => type === 'snoozed'))
    const edited = await errand.dispatch(pay, { card: marker }, { delay: '1h' })
    await errand.jobs.change(edited.id, { payload: { card: `${marker}-2` } }, { by: 'mia' })

    const reader = vault.open(keys).errand
    const events = (await Promise.all([paid, declined, snoozed].map(({ id }) => reader.events.of(id)))).flat()
    expect(JSON.stringify(events).split(marker).length - 1).toBeGreaterThanOrEqual(4)
    expect((await reader.jobs.get(paid.id))?.progress).toEqual({ value: 0.5, message: `charging ${marker}` })
    expect((await reader.jobs.get(edited.id))?.payload).toEqual({ card: `${marker}-2` })
    expect(await reader.result(paid)).toEqual({ card: marker })

    const bytes = await vault.bytes()
    expect(bytes).toContain(paid.id)
    for (const trace of [marker, Buffer.from(marker).toString('base64').slice(0, 16), '4111'])
      expect(bytes).not.toContain(trace)
    expect(logged()).not.toContain('4111')
  })

  test('after a rotation the new key writes and the old one reads; a job waits for a worker with its key', async () => {
    const vault = await vaults[name]!()
    const [old, fresh] = [key(), key()]
    const before = vault.open([old]).errand
    const { id } = await before.dispatch(pay, { card: marker })

    // A worker that was started without the old key: it gives the job back, visibly, and says which key is lacking.
    const wrong = vault.open([fresh])
    const worker = wrong.errand.work(
      { handlers: [handle(pay, ({ card }) => ({ card }))] },
      { signals: false },
    )
    const snoozed = await until(async () =>
      (await wrong.errand.events.of(id)).find(({ type }) => type === 'snoozed'),
    )
    expect(snoozed).toMatchObject({
      reason: expect.stringMatching(
        /encrypted with the key [0-9a-f]{8}, which is not among encrypt.keys/,
      ) as string,
    })
    await worker.stop()
    expect(await before.jobs.get(id)).toMatchObject({
      state: 'scheduled',
      attempt: 0,
      payload: { card: marker },
    })

    const rotated = vault.open([fresh, old]).errand
    work(rotated)
    await rotated.jobs.change(id, { at: new Date(0) }, { by: 'mia' })
    expect(await rotated.result({ id, status: 'added' })).toEqual({ card: marker })
    // What is written from now on needs the new key only.
    expect(await wrong.errand.result({ id, status: 'added' })).toEqual({ card: marker })
    await expect(before.result({ id, status: 'added' })).rejects.toMatchObject({ code: 'E_CODEC' })
  })

  test('an operator without the keys sees the whole history, and what it cannot read is marked', async () => {
    const vault = await vaults[name]!()
    const { errand } = vault.open([key()])
    work(errand)
    const paid = await errand.dispatch(pay, { card: marker })
    const declined = await errand.dispatch(decline, { card: marker })
    await errand.result(paid)
    await errand.result(declined).catch(() => {})
    const operator = vault.open().errand
    const unreadable = expect.stringContaining('aes-256-gcm') as string
    expect((await operator.events.of(paid.id)).map(({ type }) => type)).toEqual(
      expect.arrayContaining(['dispatched', 'started', 'succeeded']),
    )
    expect(await operator.jobs.get(paid.id)).toMatchObject({
      state: 'succeeded',
      payload: { unreadable },
      result: { unreadable },
    })
    expect(await operator.jobs.get(declined.id)).toMatchObject({
      state: 'failed',
      error: { name: 'Unreadable', message: unreadable },
    })
    const listed: string[] = []
    for await (const job of operator.jobs.list({ queue: 'pay' })) listed.push(job.id)
    expect(listed).toHaveLength(2)
    // Another test's transaction may be open, and readers of all jobs wait for older transactions.
    const read = await until(async () => {
      const texts: string[] = []
      for await (const event of operator.events.read({ queue: 'pay', after: 'start' }))
        texts.push(JSON.stringify(event))
      return texts.length >= 6 ? texts : undefined
    })
    expect(read.join('')).not.toContain(marker)
    await expect(operator.result(paid)).rejects.toMatchObject({ code: 'E_CODEC' })
  })

  test('a writer to the log cannot give a job the payload of another one', async () => {
    const vault = await vaults[name]!()
    const { errand } = vault.open([key()])
    const [cheap, dear] = await Promise.all([
      errand.dispatch(pay, { card: '1' }),
      errand.dispatch(refund, { card: '1000' }),
    ])
    await vault.swapPayloads(cheap.id, dear.id)
    const ran = work(errand)
    for (const { id } of [cheap, dear]) {
      const parked = await until(async () =>
        (await errand.events.of(id)).find(({ type }) => type === 'snoozed'),
      )
      expect(parked).toMatchObject({ reason: expect.stringContaining("is another job's") as string })
    }
    expect(ran).toEqual([])
  })
})
