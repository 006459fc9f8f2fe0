import { openSync } from 'node:fs'
import { scaleLimit } from '@errand/testkit'
import { expect, test } from 'vitest'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'

const takes = /[0-9a-f] taking/

/** Sends a signal as a terminal does: to every process of the command. */
function pressCtrlC(pid: number | undefined): void {
  process.kill(-(pid ?? 0), 'SIGINT')
}

test('Ctrl-C while --wait waits says that the job goes on, exit 130', async () => {
  const app = makeApplication()
  const waiting = app.start(['dispatch', 'linger', '--wait'])
  await waiting.saying(/added/)
  pressCtrlC(waiting.process.pid)
  const ended = await waiting.ended
  const [job] = await app.jobs()
  expect(ended).toMatchObject({ code: 130, stdout: '' })
  expect(ended.stderr).toContain(
    `interrupted: the job goes on, and is ready now; errand jobs show ${job?.id}`,
  )
})

test('Ctrl-C while a worker runs is told with a last line, exit 0', async () => {
  const worker = makeApplication().start(['work'])
  await worker.saying(takes)
  pressCtrlC(worker.process.pid)
  const ended = await worker.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null })
  expect(ended.stderr).toMatch(/worker stopped.*\n$/)
})

test('SIGTERM while the worker loads its file is no error: exit 0, and a last line', async () => {
  const source = 'console.error("loading"); await new Promise((r) => setTimeout(r, 600_000))'
  const worker = makeApplication({ files: { 'worker.ts': source } }).start(['work'])
  await worker.saying(/loading/)
  worker.process.kill('SIGTERM')
  const ended = await worker.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null })
  expect(ended.stderr).toContain('worker stopped: before it took jobs')
})

test('SIGTERM while the worker is made by its factory is no error: exit 0, and a last line', async () => {
  const source = `
import { defineWorker } from 'errand'
export default defineWorker(async () => {
  console.error('loading')
  await new Promise((resolve) => process.once('SIGTERM', resolve))
  return { handlers: [] }
})`
  const worker = makeApplication({ files: { 'worker.ts': source } }).start(['work', '--queues', 'a'])
  await worker.saying(/loading/)
  worker.process.kill('SIGTERM')
  const ended = await worker.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null })
  expect(ended.stderr).toContain('worker stopped')
})

test('one Ctrl-C on a worker with --watch lets its running job finish', async () => {
  const app = makeApplication({
    files: {
      'worker.ts': `
import { defineWorker, handle } from 'errand'
import { greet } from './jobs.ts'
export default defineWorker({
  handlers: [handle(greet, async (_payload, ctx) => {
    console.error('the job has begun')
    await new Promise((resolve) => ctx.stopping.addEventListener('abort', resolve))
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    return { text: ctx.signal.aborted ? 'aborted' : 'finished' }
  })],
})`,
    },
  })
  const receipt = await app.errand.dispatch(greet, { name: 'ada' })
  const worker = app.start(['work', '--watch'])
  // The status line has the word "running" before there is a job.
  await worker.saying(/the job has begun/)
  pressCtrlC(worker.process.pid)
  expect(await worker.ended).toMatchObject({ code: 0 })
  expect(await app.job(receipt)).toMatchObject({ state: 'succeeded', result: { text: 'finished' }, run: 1 })
})

test.each([
  ['jobs', 'list'],
  ['jobs', 'list', '--json'],
  ['events'],
  ['events', '--json'],
  ['dispatch', 'greet', '{"name":"a"}'],
  ['--help'],
])('a full disk behind stdout is one line on stderr, exit 1: errand %s %s', async (...words) => {
  const app = makeApplication()
  await app.errand.dispatch(greet, { name: 'a' })
  const ran = await app.run(words, { stdout: openSync('/dev/full', 'w') })
  expect(ran.code, ran.stderr).toBe(1)
  expect(ran.stderr.trim().split('\n')).toHaveLength(1)
  expect(ran.stderr).toMatch(/E_OUTPUT.*ENOSPC/)
})

test('a worker goes on when the disk behind its stdout is full, and says so once', async () => {
  const app = makeApplication({
    files: {
      'worker.ts': `
import { defineWorker, handle } from 'errand'
import { greet } from './jobs.ts'
export default defineWorker({ handlers: [handle(greet, ({ name }) => {
  console.log('a handler prints')
  return { text: name }
})] })`,
    },
  })
  const worker = app.start(['work'], { stdout: openSync('/dev/full', 'w') })
  await worker.saying(takes)
  for (const name of ['a', 'b']) {
    const receipt = await app.errand.dispatch(greet, { name })
    expect(await app.errand.result(receipt, { timeout: scaleLimit(20_000) })).toEqual({ text: name })
  }
  worker.process.kill('SIGTERM')
  const ended = await worker.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  expect(ended.stderr.match(/E_OUTPUT/g)).toHaveLength(1)
})

test.each([[[]], [['--json']]])(
  'a follower whose reader has gone ends at the next event, exit 0: %j',
  async (words) => {
    const app = makeApplication()
    await app.errand.dispatch(greet, { name: 'a' })
    const follower = app.start(['events', '--follow', '--after', 'start', ...words])
    await follower.saying(/dispatched/)
    follower.process.stdout?.destroy()
    const again = setInterval(() => void app.errand.dispatch(greet, { name: 'b' }), 200)
    const ended = await follower.ended
    clearInterval(again)
    expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
  },
)
