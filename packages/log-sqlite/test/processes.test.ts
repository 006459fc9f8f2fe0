import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { checkOutput, newJob, until } from '@errand/testkit'
import { openLog, temporaryFolder } from './temporary.ts'

interface Report {
  readonly ids: readonly string[]
  readonly longestStallMs: number
  readonly errors: readonly string[]
}

function start(fixture: string, file: string): { child: ChildProcess; report: Promise<Report> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', fixture), file], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  checkOutput(child)
  child.stderr.pipe(process.stderr, { end: false })
  onTestFinished(() => void child.kill('SIGKILL'))
  return { child, report: text(child.stdout).then((output) => JSON.parse(output) as Report) }
}

test('ten processes that start on an empty file together make its tables once', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const children = Array.from({ length: 10 }, () => start('drain.ts', file))
  const reports = await Promise.all(children.map(({ report }) => report))
  expect(reports.flatMap((report) => report.errors)).toEqual([])
  expect(await openLog(file).connect()).toMatchObject({ schemaVersion: 1, epoch: 1 })
})

test('eight processes drain one file: each job once, nobody is told of a lock, nobody is left out', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const log = openLog(file)
  const jobs = Array.from({ length: 4_000 }, () => newJob())
  await log.append(jobs)
  const reports = await Promise.all(Array.from({ length: 8 }, () => start('drain.ts', file).report))

  expect(reports.flatMap((report) => report.errors)).toEqual([])
  const ids = reports.flatMap((report) => report.ids)
  expect(ids).toHaveLength(4_000)
  expect(new Set(ids)).toEqual(new Set(jobs.map((job) => job.id)))
})

test("while another process holds the file's lock, the event loop goes on and the write follows", async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const log = openLog(file)
  await log.connect()
  const other = new DatabaseSync(file)
  other.exec('begin immediate')
  let turns = 0
  const counting = setInterval(() => (turns += 1), 1)
  onTestFinished(() => clearInterval(counting))

  const appended = log.append([newJob()])
  await until(() => turns >= 50, { what: 'fifty turns of the event loop while the write waits' })
  other.exec('commit')
  expect(await appended).toMatchObject([{ status: 'added' }])
})

test('a commit of another process wakes listeners', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const log = openLog(file)
  await log.connect()
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const wakeups = log.wakeups(['queue:mail'], stop.signal)[Symbol.asyncIterator]()
  expect(await wakeups.next()).toMatchObject({ value: 'started' })
  const woken = wakeups.next()
  new DatabaseSync(file).exec(
    `insert into errand_queues (name, paused_by) values ('other', 'another process')`,
  )
  expect(await woken).toMatchObject({ value: 'queue:mail' })
})

test('a process that is killed in the middle of its work leaves a file that the next one can use', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const log = openLog(file)
  await log.append(Array.from({ length: 3_000 }, () => newJob()))
  const { child, report } = start('drain.ts', file)
  report.catch(() => undefined)
  await until(async () => (await log.list({ state: 'succeeded' }, { limit: 1 })).length > 0)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const [queue] = await log.queues()
  const succeeded = new DatabaseSync(file)
    .prepare(`select count(*) as n from errand_jobs where state = 'succeeded'`)
    .get()
  expect(Number(succeeded?.n) + (queue?.ready ?? 0) + (queue?.running ?? 0)).toBe(3_000)
  expect(new DatabaseSync(file).prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' })
})
