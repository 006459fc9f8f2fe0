import { expect, test } from 'vitest'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'

interface EventJson {
  readonly cursor: string
  readonly type: string
  readonly jobId: string
}

const lines = (text: string): readonly EventJson[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as EventJson)

test('events prints what has happened, one JSON document per line, and ends', async () => {
  const app = makeApplication()
  const { id } = await app.errand.dispatch(greet, { name: 'a' })
  await app.drain()
  const ran = await app.command('events', '--json')
  expect(ran).toMatchObject({ code: 0 })
  expect(lines(ran.stdout).map(({ type }) => type)).toEqual(['dispatched', 'started', 'succeeded'])
  const text = await app.command('events', '--job', id)
  expect(text.stdout).toMatch(/dispatched[\s\S]*started[\s\S]*run 1, attempt 1[\s\S]*succeeded/)
})

test('events --after goes on behind a cursor, and --queue, --tag and --limit choose', async () => {
  const app = makeApplication()
  const first = await app.errand.dispatch(greet, { name: 'a' }, { tags: ['x'] })
  const second = await app.errand.dispatch(greet, { name: 'b' }, { queue: 'other' })
  const from = async (...words: readonly string[]): Promise<readonly string[]> =>
    lines((await app.command('events', '--json', ...words)).stdout).map(({ jobId }) => jobId)
  const cursor = (await app.errand.events.of(first.id))[0]?.cursor ?? ''
  expect(await from('--after', cursor)).toEqual([second.id])
  expect(await from('--queue', 'other')).toEqual([second.id])
  expect(await from('--tag', 'x')).toEqual([first.id])
  expect(await from('--limit', '1')).toEqual([first.id])
})

test('a follower that is killed goes on from its cursor and has seen every event once', async () => {
  const app = makeApplication()
  const follower = app.start(['events', '--follow', '--after', 'start', '--json'])
  const first = await app.errand.dispatch(greet, { name: 'a' })
  await follower.saying(/dispatched/)
  follower.process.kill('SIGKILL')
  const seen = lines((await follower.ended).stdout)

  const second = await app.errand.dispatch(greet, { name: 'b' })
  const again = app.start(['events', '--follow', '--after', seen.at(-1)?.cursor ?? '', '--json'])
  await again.saying(/dispatched/)
  again.process.kill('SIGINT')
  const ended = await again.ended
  expect(ended).toMatchObject({ code: 0 })
  expect([...seen, ...lines(ended.stdout)].map(({ jobId }) => jobId)).toEqual([first.id, second.id])
})

test('following one job ends with the job', async () => {
  const app = makeApplication()
  const { id } = await app.errand.dispatch(greet, { name: 'a' })
  const follower = app.start(['events', '--follow', '--job', id])
  await follower.saying(/dispatched/)
  await app.drain()
  const ended = await follower.ended
  expect(ended).toMatchObject({ code: 0 })
  expect(ended.stdout).toContain('succeeded')
})

test('a cursor that is none is exit 2', async () => {
  const ran = await makeApplication().command('events', '--after', 'nope')
  expect(ran).toMatchObject({ code: 2 })
  expect(ran.stderr).toContain('E_CURSOR')
})
