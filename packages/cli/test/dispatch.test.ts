import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { makeApplication } from './helpers/application.ts'
import { makeProject } from './helpers/project.ts'

const config = `export default { log: 'sqlite:./errand.db' }`

test('a dispatched job is in the log, with everything that the command said about it', async () => {
  const app = makeApplication()
  const id = randomUUID()
  const words = [
    '--id',
    id,
    '--lane',
    'high',
    '--queue',
    'other',
    '--tag',
    'a,b',
    '--tag',
    'c',
    '--meta',
    'tenant=t1',
    '--ordering-key',
    'k',
    '--delay',
    '2h',
  ]
  expect(await app.json('dispatch', 'greet', '{"name":"ada"}', ...words)).toEqual({ id, status: 'added' })
  expect(await app.errand.jobs.get(id)).toMatchObject({
    name: 'greet',
    payload: { name: 'ada' },
    lane: 'high',
    queue: 'other',
    tags: ['a', 'b', 'c'],
    meta: { tenant: 't1' },
    orderingKey: 'k',
    state: 'scheduled',
  })
  // The same id again is a duplicate, and no error.
  expect(await app.json('dispatch', 'greet', '{"name":"ada"}', '--id', id)).toEqual({
    id,
    status: 'duplicate',
  })
})

test('the payload comes from stdin with -, and from a file with @', async () => {
  const app = makeApplication({ files: { 'payload.json': '{"name":"file"}' } })
  expect(await app.run(['dispatch', 'greet', '-'], { input: '{"name":"pipe"}' })).toMatchObject({ code: 0 })
  expect(await app.command('dispatch', 'greet', '@payload.json')).toMatchObject({ code: 0 })
  const jobs = await app.jobs()
  expect(jobs.map(({ payload }) => payload)).toEqual([{ name: 'file' }, { name: 'pipe' }])
})

test.each([
  ['does not fit', ['greet', '{"name":1}'], 2, /E_PAYLOAD_INVALID/],
  ['is missing', ['greet'], 2, /E_PAYLOAD_INVALID/],
  ['is not JSON', ['greet', '{name:1}'], 2, /E_OPTION.*quote it for the shell/],
  ['is in a file that is missing', ['greet', '@nope.json'], 2, /E_OPTION.*nope\.json/],
  ['is of no known job', ['gret', '{}'], 3, /E_UNKNOWN_JOB.*jobs\.ts.*greet, linger, once, ordered, stumble/],
])('a payload that %s is refused, and nothing is stored', async (_what, words, code, message) => {
  const app = makeApplication()
  const ran = await app.command('dispatch', ...words)
  expect(ran).toMatchObject({ code, stdout: '' })
  expect(ran.stderr).toMatch(message)
  expect(await app.jobs()).toEqual([])
})

test('a job that no file defines is stored by its name when that is asked for', async () => {
  const project = makeProject({ files: { 'errand.config.ts': config } })
  const { id } = await project.json<{ readonly id: string }>(
    'dispatch',
    'from.elsewhere',
    '{"any":["thing"]}',
    '--unchecked',
  )
  expect(await project.json('jobs', 'show', id)).toMatchObject({
    name: 'from.elsewhere',
    payload: { any: ['thing'] },
  })
})

test('the definition is found in the named module, or in a worker factory, which is then stopped', async () => {
  const project = makeProject({
    files: {
      'errand.config.ts': config,
      'src/all.ts': `import { defineJob } from 'errand'\nexport const jobs = { one: defineJob({ name: 'one' }) }`,
      'worker.ts': `
import { defineWorker, defineJob, handle } from 'errand'
export default defineWorker(async () => {
  console.error('opened')
  return { handlers: [handle(defineJob({ name: 'two' }), () => {})], stop: () => console.error('closed') }
})`,
    },
  })
  const one = await project.command('dispatch', 'one', '--jobs', 'src/all.ts')
  expect(one).toMatchObject({ code: 0, stderr: '' })
  const two = await project.command('dispatch', 'two')
  expect(two).toMatchObject({ code: 0, stderr: 'opened\nclosed\n' })
})

test('--wait prints the result when another process has run the job', async () => {
  const app = makeApplication()
  const dispatching = app.start(['dispatch', 'greet', '{"name":"ada"}', '--wait', '50s', '--json'])
  await app.start(['work', '--max-jobs', '1']).ended
  const ran = await dispatching.ended
  expect(ran, ran.stderr).toMatchObject({ code: 0 })
  expect(JSON.parse(ran.stdout)).toMatchObject({
    status: 'added',
    state: 'succeeded',
    result: { text: 'hello, ada' },
  })
})

test('--wait ends with exit 1 when it takes too long, and when the job fails', async () => {
  const app = makeApplication()
  const late = await app.command('dispatch', 'greet', '{"name":"ada"}', '--wait', '100ms')
  expect(late).toMatchObject({ code: 1 })
  expect(late.stderr).toContain('E_RESULT_TIMEOUT')

  const dispatching = app.start(['dispatch', 'ordered', '{"key":"k","fail":true}', '--wait', '50s'])
  await dispatching.saying(/added/)
  await app.drain()
  const failed = await dispatching.ended
  expect(failed).toMatchObject({ code: 1 })
  expect(failed.stderr).toMatch(/E_RESULT_FAILED.*out of order/)
})
