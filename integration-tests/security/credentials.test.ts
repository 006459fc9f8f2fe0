import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { createErrand, defineJob, handle } from '@errand/core'
import type { Errand } from '@errand/core'
import { checkOutput, until } from '@errand/testkit'
import { describe, expect, inject, test } from 'vitest'
import { z } from 'zod'
import { makeFolder } from '../fleet/shared.ts'

const errandBin = fileURLToPath(new URL('../../packages/errand/src/bin.ts', import.meta.url))
/** A password, and its form in a URL. */
const secret = 'c0rrect/horse@battery'
const inUrl = encodeURIComponent(secret)
const traces = [secret, inUrl, 'c0rrect', 'battery']

const postgresAt = (url: string, over: Readonly<Record<string, string>>): string =>
  Object.assign(new URL(url), { username: 'errand_nobody', password: inUrl, ...over }).href
const pg = inject('postgres') ?? 'postgres://127.0.0.1:1/none'
const amqp = inject('amqp') ?? 'amqp://127.0.0.1:1'

/** Every way in which a URL with a password can fail. */
const wrong: readonly (readonly [
  what: string,
  log: string | undefined,
  driver: string | undefined,
  code: string,
])[] = [
  ['PostgreSQL that refuses the user', postgresAt(pg, {}), undefined, 'E_LOG_UNREACHABLE'],
  ['PostgreSQL that is not there', postgresAt(pg, { port: '1' }), undefined, 'E_LOG_UNREACHABLE'],
  ['a URL of PostgreSQL that cannot be read', `postgres://app:${inUrl}@[::1/db`, undefined, 'E_URL'],
  [
    'a password in the query',
    `postgres://127.0.0.1:1/db?user=app&password=${inUrl}`,
    undefined,
    'E_LOG_UNREACHABLE',
  ],
  [
    'a URL with an option that is wrong',
    `postgres://app:${inUrl}@127.0.0.1:1/db?migrate=perhaps`,
    undefined,
    'E_OPTION',
  ],
  ['a URL of no log', `mysql://app:${inUrl}@127.0.0.1/db`, undefined, 'E_URL'],
  [
    'RabbitMQ that refuses the password',
    undefined,
    Object.assign(new URL(amqp), { username: 'guest', password: inUrl }).href,
    'E_DRIVER',
  ],
  ['RabbitMQ that is not there', undefined, `amqps://app:${inUrl}@127.0.0.1:1/shop`, 'E_DRIVER'],
  ['a URL of RabbitMQ that cannot be read', undefined, `amqp://app:${inUrl}@[::1/shop`, 'E_URL'],
  ['a URL of RabbitMQ with a fragment', undefined, `amqp://app:${inUrl}@127.0.0.1/shop#x`, 'E_URL'],
  [
    'an endpoint of SQS with a password',
    undefined,
    `sqs://eu-west-1?endpoint=${encodeURIComponent(`http://key:${inUrl}@127.0.0.1:1`)}`,
    'E_OPTION',
  ],
  ['a driver that there is not', undefined, `kafka://app:${inUrl}@127.0.0.1/topic`, 'E_URL'],
]

const hello = defineJob({ name: 'security.hello', payload: z.object({ card: z.string() }) })

/** An error in every form in which it may be shown. */
function shown(error: unknown): string {
  const parts = [inspect(error, { depth: 20, showHidden: true }), String(error), JSON.stringify(error)]
  for (let at = error; at instanceof Error; at = at.cause)
    parts.push(
      at.message,
      at.stack ?? '',
      JSON.stringify(at),
      JSON.stringify(at, Object.getOwnPropertyNames(at)),
    )
  return parts.join('\n')
}

function recorder() {
  let lines = ''
  const keep = (fields: object, message?: string): void =>
    void (lines += `${inspect(fields, { depth: 20 })} ${JSON.stringify(fields)} ${message}\n`)
  return { logger: { debug: keep, info: keep, warn: keep, error: keep }, said: () => lines }
}

describe('credentials', () => {
  test.each(wrong)('%s: neither an error nor a log shows the password', async (_what, log, driver, code) => {
    const { logger, said } = recorder()
    const failed = async (): Promise<unknown> => {
      let errand: Errand | undefined
      try {
        errand = createErrand({
          log: log ?? `sqlite:${join(makeFolder(), 'errand.db')}`,
          driver,
          logger,
          publishWait: '2s',
        })
        await errand.migrate()
        await errand.dispatch(hello, { card: '4111 1111' })
        await errand.doctor()
        const worker = errand.work({ handlers: [handle(hello, () => {})] }, { signals: false })
        await until(() => /E_DRIVER/.test(said()), { what: 'the driver has said what is wrong' })
        await worker.stop({ grace: 0 })
        return undefined
      } catch (error) {
        return error
      } finally {
        await errand?.close().catch(() => {})
      }
    }
    const error = await failed()
    if (error !== undefined) expect(error).toMatchObject({ code })
    expect(`${shown(error)} ${said()}`).toContain(code)
    for (const trace of [...traces, '4111']) expect(`${shown(error)} ${said()}`).not.toContain(trace)
  })

  test.each([
    ['doctor', wrong[0]!],
    ['dispatch', wrong[6]!],
  ] as const)(
    'the command line shows no password either: errand %s',
    async (command, [, log, driver, code]) => {
      // The folder where the drivers are installed.
      const cwd = fileURLToPath(new URL('..', import.meta.url))
      const file = join(makeFolder(), 'errand.db')
      const words = command === 'doctor' ? ['doctor'] : ['dispatch', 'security.hello', '{}', '--unchecked']
      for (const more of [['--json', '--verbose'], ['--verbose']]) {
        const child = spawn(process.execPath, [errandBin, ...words, ...more], {
          cwd,
          env: {
            PATH: process.env['PATH'],
            ERRAND_LOG: log ?? `sqlite:${file}`,
            ...(driver === undefined ? {} : { ERRAND_DRIVER: driver }),
          },
        })
        checkOutput(child)
        let said = ''
        for (const stream of [child.stdout, child.stderr])
          stream.setEncoding('utf8').on('data', (text: string) => (said += text))
        await once(child, 'close')
        expect(said).toContain(code === 'E_DRIVER' ? 'RabbitMQ' : code)
        for (const trace of traces) expect(said).not.toContain(trace)
      }
    },
  )
})
