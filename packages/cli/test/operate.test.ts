import { expect, test } from 'vitest'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'

test('a paused queue starts nothing until it is resumed, and says who paused it', async () => {
  const app = makeApplication()
  const receipt = await app.errand.dispatch(greet, { name: 'a' })
  await app.command('queues', 'pause', 'default', '--by', 'mia')
  expect((await app.command('queues', 'list')).stdout).toMatch(/default +1 .*paused by mia/)
  await app.drain()
  expect((await app.job(receipt)).state).toBe('ready')

  await app.command('queues', 'resume', 'default')
  expect(await app.json('queues', 'limit', 'default', '--concurrency', '3', '--by', 'mia')).toEqual({
    queue: 'default',
    limit: { concurrency: 3 },
  })
  expect((await app.command('queues', 'list')).stdout).toMatch(/default .*at most 3 at a time, by mia/)
  expect(await app.command('queues', 'limit', 'default', '--concurrency', '1.5')).toMatchObject({ code: 2 })
  expect(await app.command('queues', 'limit', 'default')).toMatchObject({ code: 2 })
  await app.command('queues', 'limit', 'default', '--none')
  expect((await app.command('queues', 'list')).stdout).not.toMatch(/at a time/)
  await app.drain()
  expect((await app.job(receipt)).state).toBe('succeeded')
})

test('purge cancels what waits in a queue, and nothing else', async () => {
  const app = makeApplication()
  const ready = await app.errand.dispatch(greet, { name: 'a' })
  const later = await app.errand.dispatch(greet, { name: 'a' }, { delay: '1h' })
  const other = await app.errand.dispatch(greet, { name: 'a' }, { queue: 'other' })
  expect(await app.command('queues', 'purge', 'default')).toMatchObject({ code: 2 })
  expect(await app.json('queues', 'purge', 'default', '--yes')).toEqual({ queue: 'default', cancelled: 2 })
  for (const receipt of [ready, later]) expect((await app.job(receipt)).state).toBe('cancelled')
  expect((await app.job(other)).state).toBe('ready')
  expect(await app.command('queues', 'purge', 'nope', '--yes')).toMatchObject({ code: 3 })
})

test('an unknown worker cannot be stopped: exit 3; and which one must be said: exit 2', async () => {
  const app = makeApplication()
  expect(await app.command('workers', 'stop', 'nobody')).toMatchObject({ code: 3 })
  expect(await app.command('workers', 'stop')).toMatchObject({ code: 2 })
})

test('prune deletes what ended before its retention, and says how many', async () => {
  const app = makeApplication()
  const { id } = await app.errand.dispatch(greet, { name: 'a' })
  await app.drain()
  expect(await app.json('prune')).toEqual({ pruned: 0 })
  expect(await app.json('prune', '--succeeded', '0s')).toEqual({ pruned: 1 })
  expect(await app.errand.jobs.get(id)).toBeUndefined()
})

test('migrate tells the versions, and after --restored the cursors of before are refused', async () => {
  const app = makeApplication()
  const before = await app.json<{ readonly to: number }>('migrate')
  expect(before.to).toBeGreaterThan(0)
  expect(await app.json('migrate')).toMatchObject({ from: before.to, to: before.to })
  const { id } = await app.errand.dispatch(greet, { name: 'a' })
  const cursor = (await app.errand.events.of(id))[0]?.cursor ?? ''
  await app.command('migrate', '--restored')
  expect((await app.command('events', '--after', cursor)).stderr).toContain('E_CURSOR')
})

test('doctor names a queue that nobody serves, exit 1; with a worker it is content, exit 0', async () => {
  const app = makeApplication()
  await app.errand.dispatch(greet, { name: 'a' })
  const alone = await app.command('doctor')
  expect(alone).toMatchObject({ code: 1 })
  expect(alone.stdout).toMatch(/✗ queue default has 1 ready.* \(queue-unserved\)\n/)
  expect(alone.stdout).toMatch(/log +sqlite/)

  const worker = app.start(['work'])
  await worker.saying(/ taking/)
  const report = await app.command('doctor', '--json')
  expect(report, report.stdout).toMatchObject({ code: 0 })
  expect(JSON.parse(report.stdout)).toMatchObject({ healthy: true, log: { name: 'sqlite' }, repairs: [] })
  // If workers take jobs straight from the log, there are no tickets to repair.
  const repaired = await app.command('doctor', '--repair')
  expect(repaired, repaired.stdout).toMatchObject({ code: 0 })
})

test('commands with --json print one document and nothing else', async () => {
  const app = makeApplication()
  await app.errand.dispatch(greet, { name: 'a' })
  for (const words of [
    ['jobs', 'list'],
    ['queues', 'list'],
    ['workers', 'list'],
    ['keys'],
    ['migrate'],
    ['prune'],
  ]) {
    const ran = await app.command(...words, '--json')
    expect(() => JSON.parse(ran.stdout) as unknown, words.join(' ')).not.toThrow()
    expect(ran.stderr).toBe('')
  }
})

test('pause, resume and purge of a queue that nobody knows say so, with what was meant, and exit 3', async () => {
  const app = makeApplication()
  await app.errand.dispatch(greet, { name: 'a' })
  for (const verb of ['pause', 'resume', 'purge']) {
    const ran = await app.command('queues', verb, 'defualt', ...(verb === 'purge' ? ['--yes'] : []))
    expect(ran).toMatchObject({ code: 3, stdout: '' })
    expect(ran.stderr).toMatch(
      /E_NOT_FOUND.*nobody serves queue defualt, it has no unfinished job.*"default"/,
    )
  }
  expect(await app.errand.queues.list()).toMatchObject([{ name: 'default', paused: false }])
})
