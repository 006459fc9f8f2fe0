import { defineJob, defineLimit, handle } from '@errand/core'
import type { Receipt } from '@errand/core'
import { eventually } from '@errand/testkit'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { makeApplication } from './helpers/application.ts'
import type { Application } from './helpers/application.ts'

const payload = z.object({ tenant: z.string() })
const mailApi = defineLimit({
  name: 'mail-api',
  key: (p: { tenant: string }) => p.tenant,
  concurrency: { total: 50, perKey: 2 },
  rate: { perKey: { max: 100, per: '1m', burst: 20 } },
})
const send = defineJob({ name: 'mail.send', payload, limit: mailApi })
const slow = defineJob({
  name: 'slow',
  limit: defineLimit({ name: 'slow-api', rate: { max: 1, per: '1d' } }),
})

interface Mailing extends Application {
  send(tenant: string): Promise<Receipt<unknown>>
}

/** A worker has declared the limits. Its jobs run until the test ends. */
async function mailing(): Promise<Mailing> {
  const app = makeApplication()
  const { promise, resolve } = Promise.withResolvers<void>()
  const worker = app.errand.work(
    { handlers: [handle(send, () => promise), handle(slow, () => promise)] },
    { signals: false },
  )
  onTestFinished(async () => {
    resolve()
    await worker.stop()
  })
  await worker.ready
  return { ...app, send: (tenant) => app.errand.dispatch(send, { tenant }) }
}

async function said(app: Application, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await app.command(...args)
  expect(code, stderr).toBe(0)
  return stdout
}

test('limits are listed with their values and jobs, and one that is misspelt is guessed', async () => {
  const app = await mailing()
  for (const tenant of ['acme', 'acme', 'acme', 'zeta']) await app.send(tenant)
  await eventually(async () =>
    expect(await app.errand.limits.get('mail-api')).toMatchObject({ running: 3, waiting: 1 }),
  )
  const listed = await said(app, 'limits', 'list')
  expect(listed).toMatch(/mail-api +50, 2 per key +100\/1m \(burst 20\) per key +0 +3 +1\n/)
  expect(listed).toMatch(/slow-api +1\/1d \(burst 1\) +0 +0 +0\n/)
  const shown = await said(app, 'limits', 'show', 'mail-api')
  expect(shown).toMatch(/jobs +0 ready, 3 running, 1 waiting/)
  expect(shown).toMatch(/KEY .*\n(?:.*\n)?acme +0 +2 +1\n/)
  expect(await said(app, 'limits', 'show', 'mail-api', '--key', 'acme')).not.toContain('zeta')
  expect(await app.json('limits', 'show', 'mail-api', '--key', 'acme')).toMatchObject({
    name: 'mail-api',
    keys: [{ key: 'acme', running: 2, waiting: 1 }],
  })
  expect(await app.command('limits', 'show', 'mail-ap')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('did you mean "mail-api"?') as string,
  })
})

test('a job that waits at a limit says why: places, rate, a closing, or that nobody declares it', async () => {
  const app = await mailing()
  const why = async ({ id }: Receipt<unknown>): Promise<string | undefined> =>
    /^limit +(.*)$/m.exec(await said(app, 'jobs', 'show', id))?.[1]
  const first = await app.send('acme')
  await app.send('acme')
  const third = await app.send('acme')
  expect(await why(first)).toBe('mail-api/acme')
  expect(await why(third)).toBe('mail-api/acme · waits: 2 of 2 places of its key are taken')
  expect(await said(app, 'jobs', 'list', '--state', 'blocked')).toContain('limit mail-api/acme')
  await said(app, 'limits', 'set', 'mail-api', '--concurrency', '2', '--per-key', 'none')
  expect(await why(third)).toBe('mail-api/acme · waits: 2 of 2 places are taken')

  await app.errand.dispatch(slow)
  const second = await app.errand.dispatch(slow)
  expect(await why(second)).toBe('slow-api · waits: for its turn at 1/1d (burst 1)')
  await said(app, 'limits', 'close', 'slow-api', '--for', '90m', '--by', 'mia', '--reason', 'they move')
  expect(await why(second)).toBe('slow-api · waits: opens in 1h, closed by mia: they move')

  const limit = defineLimit({ name: 'of-nobody', concurrency: 1 })
  const waiting = await app.errand.dispatch(defineJob({ name: 'orphan', limit }))
  expect(await why(waiting)).toBe('of-nobody · waits: no worker declares it')
  expect(await said(app, 'limits', 'list')).toMatch(/of-nobody .* 1 +no worker declares it\n/)
})

test('an operator sets values without a deploy, is told what applies, and goes back to the code', async () => {
  const app = await mailing()
  const set = (...args: readonly string[]): Promise<string> => said(app, 'limits', 'set', 'mail-api', ...args)
  expect(await set('--per-key', '1', '--by', 'mia', '--reason', 'they asked')).toBe(
    'mail-api: 50, 1 per key at a time, 100/1m (burst 20) per key\n',
  )
  expect(await set('--rate', '7/1m', '--key-rate', '90/1m', '--key-burst', '3')).toContain(
    '7/1m (burst 1), 90/1m (burst 3) per key',
  )
  expect(
    await set('--concurrency', 'none', '--per-key', 'none', '--rate', 'none', '--key-rate', 'none'),
  ).toBe('mail-api: no limit\n')
  expect(await said(app, 'limits', 'list')).toMatch(/mail-api .*set by /)
  expect(await said(app, 'limits', 'show', 'mail-api')).toMatch(/ set +mia +they asked\n/)
  expect(await said(app, 'limits', 'reset', 'mail-api', '--by', 'mia')).toContain('50, 2 per key at a time')
  expect(await said(app, 'limits', 'list')).not.toContain('set by')
  expect(await app.json('limits', 'set', 'mail-api', '--concurrency', '3')).toMatchObject({
    concurrency: { total: 3, perKey: 2 },
  })
})

test('values that cannot be are refused, with what to write instead', async () => {
  const app = await mailing()
  for (const [message, ...args] of [
    ['Use a whole number from 1', '--concurrency', '0'],
    ['a whole number from 1 to 10000', '--per-key', '20000'],
    ['such as 100/1m', '--rate', '100'],
    ['such as 100/1m', '--rate', '100/minute'],
    ['such as 100/1m', '--rate', '5/0s'],
    ['add --rate', '--burst', '5'],
    ['add --key-rate', '--key-burst', '5', '--key-rate', 'none'],
    ['changes nothing', '--by', 'mia'],
  ] as const)
    expect(await app.command('limits', 'set', 'mail-api', ...args)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(message) as string,
    })
  expect(await app.command('limits', 'close', 'mail-api')).toMatchObject({ code: 2 })
  expect(await app.command('limits', 'close', 'mail-api', '--for', '0s')).toMatchObject({ code: 2 })
  for (const command of ['show', 'reset', 'open', 'remove'])
    expect(await app.command('limits', command, 'nobody')).toMatchObject({ code: 3 })
})

test('a key is closed for a time and opened again, and other keys do not notice', async () => {
  const app = await mailing()
  const closed = await said(
    app,
    'limits',
    'close',
    'mail-api',
    '--key',
    'acme',
    '--for',
    '10m',
    '--by',
    'mia',
  )
  expect(closed).toMatch(/^mail-api\/acme opens in \d+m, closed by mia\n$/)
  const [held, free] = [await app.send('acme'), await app.send('zeta')]
  await eventually(async () => expect((await app.job(free)).state).toBe('running'))
  expect((await app.job(held)).state).toBe('blocked')
  expect(await said(app, 'limits', 'show', 'mail-api')).toMatch(
    /acme +0 +0 +1 +opens in \d+m, closed by mia\n/,
  )
  expect(await said(app, 'limits', 'open', 'mail-api', '--key', 'acme')).toBe('mail-api/acme is open\n')
  await eventually(async () => expect((await app.job(held)).state).toBe('running'))
})

test('a limit that is removed lets nothing go until a worker declares it again', async () => {
  const app = makeApplication()
  const limit = defineLimit({ name: 'gone', concurrency: 1 })
  const job = defineJob({ name: 'gone', limit })
  const worker = app.errand.work({ handlers: [handle(job, () => {})] }, { signals: false })
  await worker.ready
  await worker.stop()
  expect(await said(app, 'limits', 'remove', 'gone')).toBe('gone is removed\n')
  expect((await app.command('limits', 'list')).stderr).toContain('there are no limits')
  const receipt = await app.errand.dispatch(job)
  expect((await app.job(receipt)).state).toBe('blocked')
  expect(await app.command('limits', 'remove', 'gone')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining(
      'no worker has declared gone; it is listed because of its jobs',
    ) as string,
  })
})
