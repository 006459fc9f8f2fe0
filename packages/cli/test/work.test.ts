import { eventually, scaleLimit } from '@errand/testkit'
import { expect, test } from 'vitest'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import type { Application } from './helpers/application.ts'

const takes = /[0-9a-f] taking/

async function states(app: Application): Promise<readonly string[]> {
  const jobs = await app.jobs()
  return jobs.map(({ state }) => state).toSorted()
}

async function greetings(app: Application, count: number): Promise<void> {
  await app.errand.dispatchMany(Array.from({ length: count }, () => greet.with({ name: 'ada' })))
}

test('--once runs one job of two, and ends; with nothing to do it ends at once', async () => {
  const app = makeApplication()
  expect(await app.command('work', '--once')).toMatchObject({ code: 0 })
  await greetings(app, 2)
  expect(await app.command('work', '--once')).toMatchObject({ code: 0 })
  expect(await states(app)).toEqual(['ready', 'succeeded'])
})

test('--stop-when-empty runs what is ready, leaves what is due later, and ends', async () => {
  const app = makeApplication()
  await greetings(app, 2)
  await app.errand.dispatch(greet, { name: 'later' }, { delay: '1h' })
  const ran = await app.command('work', '--stop-when-empty')
  expect(ran).toMatchObject({ code: 0 })
  expect(ran.stderr).toMatch(/worker stopped: nothing is ready.*2 succeeded/)
  expect(await states(app)).toEqual(['scheduled', 'succeeded', 'succeeded'])
})

test('--stop-when-empty does not wait for a queue that is paused', async () => {
  const app = makeApplication()
  await greetings(app, 1)
  await app.errand.queues.pause('default', 'test')
  expect(await app.command('work', '--stop-when-empty')).toMatchObject({ code: 0 })
  expect(await states(app)).toEqual(['ready'])
})

test('--max-jobs 2 with ten slots runs two of seven, starts no other, and ends', async () => {
  const app = makeApplication()
  await greetings(app, 7)
  const ran = await app.command('work', '--max-jobs', '2', '--concurrency', '10')
  expect(ran, ran.stderr).toMatchObject({ code: 0 })
  expect(ran.stderr).toMatch(/worker stopped: 2 jobs were run/)
  expect(await states(app)).toEqual([...Array.from({ length: 5 }, () => 'ready'), 'succeeded', 'succeeded'])
  expect((await app.jobs()).filter(({ run }) => run > 0)).toHaveLength(2)
})

test('--max-time and --max-rss end a worker that has nothing else to end for', async () => {
  const app = makeApplication()
  const timed = await app.command('work', '--max-time', '100ms')
  expect(timed).toMatchObject({ code: 0 })
  expect(timed.stderr).toContain('its time is over')
  const grown = await app.command('work', '--max-rss', '1mb')
  expect(grown).toMatchObject({ code: 0 })
  expect(grown.stderr).toMatch(/it uses \d+ MB/)
})

test('--queues leaves the jobs of other queues alone', async () => {
  const app = makeApplication()
  await greetings(app, 1)
  const other = await app.errand.dispatch(greet, { name: 'ada' }, { queue: 'other' })
  await app.command('work', '--queues', 'other', '--stop-when-empty')
  expect(await states(app)).toEqual(['ready', 'succeeded'])
  expect((await app.job(other)).state).toBe('succeeded')
})

test('SIGTERM ends a worker in order, exit 0', async () => {
  const worker = makeApplication().start(['work'])
  await worker.saying(takes)
  worker.process.kill('SIGTERM')
  const ended = await worker.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null })
  expect(ended.stderr).toContain('worker stopped')
})

test('errand workers stop ends a worker of another process', async () => {
  const app = makeApplication()
  const worker = app.start(['work', '--label', 'mine'])
  await worker.saying(takes)
  expect(await app.json('workers', 'list')).toMatchObject([{ label: 'mine', alive: true }])
  expect(await app.json('workers', 'stop', '--all')).toEqual({ asked: 1 })
  const ended = await worker.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
})

test('a worker goes on when nobody reads what it prints', async () => {
  const app = makeApplication({
    files: {
      'worker.ts': `
import { defineWorker, handle } from 'errand'
import { greet } from './jobs.ts'
const text = ({ name }: { name: string }) => ({ text: 'hello, ' + name })
export default defineWorker({
  handlers: [handle(greet, (payload) => {
    console.log('a handler prints, too')
    return text(payload)
  })],
})`,
    },
  })
  const worker = app.start(['work'])
  await worker.saying(takes)
  worker.process.stdout?.destroy()
  worker.process.stderr?.destroy()
  for (let i = 0; i < 2; i += 1) {
    const receipt = await app.errand.dispatch(greet, { name: 'ada' })
    expect(await app.errand.result(receipt, { timeout: scaleLimit(30_000) })).toEqual({ text: 'hello, ada' })
  }
})

test('--import loads a module before the configuration, resolved from the folder of the command', async () => {
  const app = makeApplication({
    files: {
      'instrument.ts': `(globalThis as { told?: string }).told = 'sqlite:./errand.db'`,
      'errand.config.ts': `export default { log: (globalThis as { told?: string }).told ?? 'nothing' }`,
    },
  })
  await greetings(app, 1)
  expect(await app.command('work', '--once', '--import', './instrument.ts')).toMatchObject({ code: 0 })
  expect(await states(app)).toEqual(['succeeded'])
  const missing = await app.command('work', '--import', 'nope-nope')
  expect(missing).toMatchObject({ code: 5 })
  expect(missing.stderr).toMatch(/E_CONFIG.*--import nope-nope could not be loaded/)
})

test('--watch starts the worker again when a file that it uses has changed', async () => {
  const app = makeApplication({
    files: {
      'said.ts': `export const said = 'before'`,
      'worker.ts': `
import { defineWorker, handle } from 'errand'
import { greet } from './jobs.ts'
import { said } from './said.ts'
console.error('loaded ' + said)
export default defineWorker({ handlers: [handle(greet, () => ({ text: said }))] })`,
    },
  })
  const worker = app.start(['work', '--watch'])
  await worker.saying(/loaded before[\s\S]*[0-9a-f] taking/)
  app.write('said.ts', `export const said = 'after'`)
  await worker.saying(/loaded after[\s\S]*[0-9a-f] taking/)
  const receipt = await app.errand.dispatch(greet, { name: 'ada' })
  expect(await app.errand.result(receipt, { timeout: scaleLimit(30_000) })).toEqual({ text: 'after' })
  worker.process.kill('SIGTERM')
  expect(await worker.ended).toMatchObject({ code: 0 })
  await eventually(async () => expect(await app.errand.workers.list()).toEqual([]))
})

test.each([
  [
    'a worker that exports nothing',
    { 'worker.ts': 'export const a = 1' },
    [],
    /worker\.ts exports nothing by default.*defineWorker/,
  ],
  [
    'a worker that throws',
    { 'worker.ts': 'throw new Error("no database")' },
    [],
    /could not be loaded: Error: no database/,
  ],
  ['a worker that is missing', {}, ['other.ts'], /other\.ts does not exist/],
])('%s is told as E_CONFIG', async (_what, files, words, message) => {
  const ran = await makeApplication({ files }).command('work', ...words)
  expect(ran).toMatchObject({ code: 5 })
  expect(ran.stderr).toContain('E_CONFIG')
  expect(ran.stderr).toMatch(message)
})

test.each([
  ['nothing', '() => {}'],
  ['no handlers', 'async () => ({ concurrency: 3 })'],
])('a worker whose function returns %s is refused by name: exit 5, and no stack', async (_what, source) => {
  const app = makeApplication({ files: { 'worker.ts': `export default ${source}` } })
  for (const words of [
    ['work', '--once'],
    ['dispatch', 'unknown', '{}'],
  ]) {
    const ran = await app.command(...words)
    expect(ran).toMatchObject({ code: 5 })
    expect(ran.stderr).toMatch(/E_CONFIG {2}the function of the worker worker\.ts returned .*defineWorker/)
    expect(ran.stderr).not.toContain('TypeError')
  }
})
