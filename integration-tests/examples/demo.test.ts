import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lanes } from '@errand/core'
import { afterAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { checkLogLines, eventually } from '@errand/testkit'
import type { Dispatched } from '../../examples/demo/audit/audit.ts'
import { brokerQueue, deleteQueues, onBroker } from '../rabbitmq/broker.ts'
import { onServer } from '../services/private-postgres.ts'
import { errandCommand, examples, isAlive, node } from './commands.ts'
import type { Command } from './commands.ts'

const postgres = inject('postgres')
const amqp = inject('amqp')
const folder = mkdtempSync(join(tmpdir(), 'errand-demo-test-'))
const workspace = join(examples, '..')

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function demo(...args: string[]): Command {
  // The demo must ignore the configuration of the shell.
  const env = { ERRAND_DRIVER: 'amqp://127.0.0.1:1' }
  return node([join(examples, 'demo/demo.ts'), ...args], { cwd: folder, env })
}

/** Enough for every moment of the show: 63 jobs. Making pictures is most of the work of a whole one. */
const three = ['dogs.jpg', 'fig.jpg', 'drum.jpg']

/** A folder with some of the photographs. */
function pictures(name: string, files: readonly string[]): string {
  const path = join(folder, name)
  mkdirSync(path, { recursive: true })
  for (const file of files) cpSync(join(examples, 'photos', file), join(path, file))
  return path
}

/** Every process that the demo has started: workers, and its own broker. */
function parseProcesses(output: string): number[] {
  return [...output.matchAll(/(?:is at work on \w+|fauxqs), in process (\d+)/g)].map(([, pid]) => Number(pid))
}

const goodAudit =
  /(\d+) dispatched · \1 succeeded once · (\d+) lost and run again · 0 out of order · 3 steps done once/

/** What every run must show, with every log, and every broker in the second half. */
function expectGoodShow(output: string, jobs: number, broker = 'SQS'): void {
  const [, dispatched, lost] = goodAudit.exec(output) ?? []
  expect(Number(dispatched), output).toBe(jobs)
  expect(Number(lost), output).toBeGreaterThan(0)
  expect(output).toMatch(/kill -9 \d+: worker \d dies holding (?!nothing)/)
  expect(output).toMatch(/ is lost: the lease of worker \d is out/)
  expect(output).toMatch(/ runs again, on worker \d \(run 2\)/)
  expect(output).toMatch(/the cover \(\w+\) starts \d+ ms later, ahead of [1-9]\d* older job/)
  for (const worker of ['worker 1', 'worker 2', 'worker 3']) {
    expect(output).toMatch(
      new RegExp(`${worker} is at work on (?:SQLite|PostgreSQL)[^]+${worker} is at work on ${broker}`),
    )
  }
  expect(output).toMatch(new RegExp(`moved to ${broker}, one by one, and started [1-9]\\d* jobs? there`))
  expect(output).toMatch(/kill -9 \d+: worker \d dies between the steps charge and print/)
  expect(output).toMatch(/the order of prints runs again, on worker \d \(run 2\)/)
  expect(output).toContain('the order went on where it was: charge in run 1, print and ship in run 2')
  expect(parseProcesses(output)).toHaveLength(broker === 'SQS' ? 7 : 6)
  expect(parseProcesses(output).filter(isAlive)).toEqual([])
}

describe('the demo', () => {
  it('in a pipe, on SQLite: a killed worker, a swapped broker, a good audit, a contact sheet', async () => {
    const out = join(folder, 'sqlite')
    await using show = demo(pictures('three', three), '--out', out)
    expect(await show.exitCode, show.output()).toBe(0)
    expectGoodShow(show.output(), 63)
    expect(show.output()).not.toContain('\u001B')
    // The workers themselves tell of SQS, and not only the show.
    const logs = ['worker-1', 'worker-2', 'worker-3'].map((file) =>
      readFileSync(join(out, `${file}.log`), 'utf8'),
    )
    expect(logs.filter((log) => log.includes('"driver":"sqs"'))).not.toEqual([])
    for (const log of logs) checkLogLines(log)

    const page = readFileSync(join(out, 'index.html'), 'utf8')
    const linked = [...page.matchAll(/href="([^":]+)"/g)].map(([, file]) =>
      join(out, decodeURIComponent(file ?? '')),
    )
    // Twenty of each photograph, and the cover.
    expect(linked).toHaveLength(61)
    expect(linked.filter((file) => !existsSync(file))).toEqual([])
    const leftovers = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.part'),
    )
    expect(leftovers).toEqual([])

    await commandsWork(show.output(), folder)
    await forgeryIsFound(out)
  })

  it.skipIf(postgres === undefined)('on PostgreSQL, in a schema of its own', async () => {
    const out = join(folder, 'postgres')
    await using show = demo(pictures('three', three), '--out', out, '--log', postgres ?? '')
    expect(await show.exitCode, show.output()).toBe(0)
    expectGoodShow(show.output(), 63)
    await commandsWork(show.output(), workspace)

    const [, schema] = /schema=(errand_demo_\w+)/.exec(show.output()) ?? []
    expect(await schemaExists(schema)).toBe(true)
    await using next = demo('--out', out, pictures('one', ['fig.jpg']))
    expect(await next.exitCode, next.output()).toBe(0)
    expect(await schemaExists(schema)).toBe(false)
  })

  it.skipIf(amqp === undefined)('moves to RabbitMQ as well', async () => {
    const prefix = `demo-${randomBytes(4).toString('hex')}`
    onTestFinished(() => deleteQueues(amqp ?? '', prefix, ['pictures']))
    const url = new URL(amqp ?? '')
    url.searchParams.set('prefix', prefix)
    await using show = demo(pictures('three', three), '--out', join(folder, 'rabbitmq'), '--driver', url.href)
    expect(await show.exitCode, show.output()).toBe(0)
    expectGoodShow(show.output(), 63, 'RabbitMQ')
    expect(await ticketsLeft(prefix)).toEqual([0, 0, 0, 0])
  })

  it('takes the pictures of a folder, and leaves out what it cannot read', async () => {
    const mixed = pictures('mixed', ['dogs.jpg', 'fig.jpg'])
    writeFileSync(join(mixed, 'not really.png'), 'a text')
    writeFileSync(join(mixed, 'cut off.jpg'), readFileSync(join(mixed, 'fig.jpg')).subarray(0, 50_000))
    writeFileSync(join(mixed, 'notes.txt'), 'a text')
    await using show = demo(mixed, '--out', join(folder, 'of-mixed'))
    expect(await show.exitCode, show.output()).toBe(0)
    expect(show.output()).toContain('not really.png is left out')
    expect(show.output()).toContain('cut off.jpg is left out')
    expectGoodShow(show.output(), 43)
  })

  it.each([
    ['an empty folder', () => pictures('empty', []), /has no pictures/],
    ['a folder that is not there', () => join(folder, 'nowhere'), /there is no folder/],
    ['a file', () => join(examples, 'photos/fig.jpg'), /is a file; give the folder/],
    ['nothing but a broken picture', () => broken('broken'), /none of the 1 pictures .* can be read/],
    ['two folders', () => ['a', 'b'], /one folder at a time/],
    ['an unknown option', () => ['--fast'], /--fast/],
    ['a log that it does not know', () => ['--log', 'mysql://localhost'], /--log takes postgres:/],
    ['a broker that it does not know', () => ['--driver', 'kafka://localhost'], /--driver takes amqp:/],
    ['a broker that is not there', () => ['--driver', 'amqp://127.0.0.1:1'], /--driver does not answer/],
    ['a log that is not there', () => ['--log', 'postgres://postgres@127.0.0.1:1/none'], /E_LOG_UNREACHABLE/],
    [
      'an output folder that is not its own',
      () => ['--out', pictures('mine', ['fig.jpg'])],
      /was not made by this demo/,
    ],
    [
      'an audit before the first demo',
      () => ['--audit', '--out', join(folder, 'none')],
      /holds no finished demo/,
    ],
  ])('given %s it says so and exits with 1', async (_, args, message) => {
    await using show = demo(...[args()].flat())
    expect(await show.exitCode, show.output()).toBe(1)
    expect(show.output()).toMatch(message)
    expect(show.output()).not.toMatch(/^\s+at .*\.ts:\d+/m)
  })

  it.each([
    ['broker', ['--driver', 'amqp://127.0.0.1:1']],
    ['log', ['--log', 'postgres://postgres@127.0.0.1:1/none']],
    ['folder', [join(folder, 'nowhere')]],
  ])('keeps what the last demo left if its %s cannot be used', async (what, args) => {
    const out = pictures(`kept-${what}`, ['fig.jpg'])
    writeFileSync(join(out, '.errand-demo'), '')
    await using show = demo(...args, '--out', out)
    expect(await show.exitCode, show.output()).toBe(1)
    expect(existsSync(join(out, 'fig.jpg'))).toBe(true)
  })

  it.each([
    ['when a worker was killed', /dies holding/],
    ['while the broker is swapped', /starts again/],
  ])('Ctrl-C %s ends all its processes and takes its output away', async (_, moment) => {
    const out = join(folder, 'interrupted')
    await using show = demo(pictures('three', three), '--out', out)
    await show.says(moment)
    const processes = parseProcesses(show.output())
    show.child.kill('SIGINT')
    expect(await show.exitCode, show.output()).toBe(130)
    expect(processes.filter(isAlive)).toEqual([])
    expect(existsSync(out)).toBe(false)
  })

  it('a reader that has seen enough, as in `demo | head`, ends it like Ctrl-C and sees no stack', async () => {
    const out = join(folder, 'unread')
    await using show = demo(pictures('three', three), '--out', out)
    await show.says(/is at work on SQLite/)
    const processes = parseProcesses(show.output())
    show.child.stdout?.destroy()
    expect(await show.exitCode, show.output()).toBe(130)
    expect(show.output()).toContain('stopped; nothing is left of it')
    expect(show.output()).not.toMatch(/EPIPE|^\s+at /m)
    expect(processes.filter(isAlive)).toEqual([])
    expect(existsSync(out)).toBe(false)
  })

  it('Ctrl-C ends it when nothing is left to do but to swap the broker', async () => {
    const out = join(folder, 'soon-done')
    await using show = demo(pictures('single', ['fig.jpg']), '--out', out)
    await show.says(/is at work on SQS/)
    show.child.kill('SIGINT')
    expect(await show.exitCode, show.output()).toBe(130)
    expect(existsSync(out)).toBe(false)
  })

  it('leaves no process behind when it is killed itself', async () => {
    await using show = demo(pictures('three', three), '--out', join(folder, 'killed'))
    await show.says(/is at work on SQS/)
    const processes = parseProcesses(show.output())
    expect(processes).toHaveLength(5)
    onTestFinished(() => processes.filter(isAlive).forEach((pid) => process.kill(pid, 'SIGKILL')))
    show.child.kill('SIGKILL')
    await eventually(() => expect(processes.filter(isAlive)).toEqual([]))
  })
})

function broken(name: string): string {
  const path = pictures(name, [])
  writeFileSync(join(path, 'a.jpg'), 'a text')
  return path
}

/**
 * The commands that the demo proposes at its end: they run as they are printed. Where a path stands in them, it is one of the
 * folder in which the demo was started; else they run in the workspace, which has the package of PostgreSQL.
 */
async function commandsWork(output: string, cwd: string): Promise<void> {
  const commands = [...output.matchAll(/pnpm@12 errand (.*)/g)].map(([, command]) => command ?? '')
  expect(commands).toHaveLength(2)
  for (const command of commands) {
    await using run = node([errandCommand, ...command.split(' ').map((word) => word.replaceAll("'", ''))], {
      cwd,
    })
    expect(await run.exitCode, `${command}: ${run.output()}`).toBe(0)
    expect(run.output()).toContain('lost')
  }
}

/** The audit is real: it fails if the ledger has one line that the log never granted. */
async function forgeryIsFound(out: string): Promise<void> {
  await using again = demo('--audit', '--out', out)
  expect(await again.exitCode, again.output()).toBe(0)
  expect(again.output()).toMatch(goodAudit)

  const dispatched = JSON.parse(readFileSync(join(out, 'dispatched.json'), 'utf8')) as Dispatched[]
  const job = dispatched.find(({ label }) => label.endsWith('half 1'))
  const line = { mark: 'began', jobId: job?.id, run: 1, pid: 1, key: null, at: Date.now() }
  appendFileSync(join(out, 'ledger.jsonl'), `${JSON.stringify(line)}\n`)

  await using forged = demo('--audit', '--out', out)
  expect(await forged.exitCode, forged.output()).toBe(1)
  expect(forged.output()).toContain(
    `${job?.label}: run 1 began twice in the ledger: two handlers had one claim`,
  )
}

/** In each lane's queue, which a worker has declared: it throws when one is not there. */
function ticketsLeft(prefix: string): Promise<number[]> {
  return onBroker(amqp ?? '', async (channel) => {
    const counts: number[] = []
    for (const lane of lanes)
      counts.push((await channel.checkQueue(brokerQueue(prefix, 'pictures', lane))).messageCount)
    return counts
  })
}

async function schemaExists(name: string | undefined): Promise<boolean> {
  const { rowCount } = await onServer(postgres ?? '', (client) =>
    client.query('select from pg_namespace where nspname = $1', [name]),
  )
  return rowCount === 1
}
