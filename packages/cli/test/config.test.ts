import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import { emptyLog } from './helpers/empty-log.ts'
import { makeProject } from './helpers/project.ts'

const config = (text: string): { files: Record<string, string> } => ({ files: { 'errand.config.ts': text } })

test('the nearest configuration is found from a folder below it, and its paths mean the same there', async () => {
  const project = makeApplication()
  await project.errand.dispatch(greet, { name: 'a' })
  mkdirSync(join(project.folder, 'src/deep'), { recursive: true })
  const below = await project.run(['jobs', 'list', '--json'], { cwd: join(project.folder, 'src/deep') })
  expect(JSON.parse(below.stdout)).toMatchObject({ jobs: [{ name: 'greet' }] })
})

test.each(['mts', 'js', 'mjs'])('errand.config.%s is a configuration, too', async (extension) => {
  const project = makeProject({
    files: { [`errand.config.${extension}`]: `export default { log: 'sqlite:./a.db' }` },
  })
  emptyLog(join(project.folder, 'a.db'))
  expect(await project.command('jobs', 'list')).toMatchObject({ code: 0 })
})

test('a configuration may be CommonJS', async () => {
  const project = makeProject({
    type: 'none',
    files: {
      'errand.config.js': `module.exports = require('errand').defineConfig({ log: 'sqlite:./a.db' })`,
    },
  })
  emptyLog(join(project.folder, 'a.db'))
  expect(await project.command('jobs', 'list')).toMatchObject({ code: 0 })
})

test('a configuration that its package takes for CommonJS is told what to do', async () => {
  const config = "import { defineConfig } from 'errand'\nexport default defineConfig({})\n"
  const project = makeProject({ type: 'commonjs', files: { 'errand.config.ts': config } })
  const ran = await project.command('queues', 'list')
  expect(ran.code).toBe(5)
  expect(ran.stderr).toMatch(
    /^E_CONFIG .*; package\.json says "type": "commonjs": run npm pkg set type=module, or name the file errand\.config\.mts$/m,
  )
})

test('without any configuration the error says how to begin', async () => {
  const ran = await makeProject().command('jobs', 'list')
  expect(ran).toMatchObject({ code: 5, stdout: '' })
  expect(ran.stderr).toMatch(/E_CONFIG.*errand init.*--log.*ERRAND_LOG/)
})

test('--log, or ERRAND_LOG, is configuration enough for operators', async () => {
  const project = makeProject()
  emptyLog(join(project.folder, 'a.db'))
  expect(await project.command('jobs', 'list', '--log', 'sqlite:./a.db')).toMatchObject({ code: 0 })
  expect(await project.run(['jobs', 'list'], { env: { ERRAND_LOG: 'sqlite:./a.db' } })).toMatchObject({
    code: 0,
  })
})

test('--log is used in place of the configured log, and is relative to where the command was started', async () => {
  const project = makeApplication()
  mkdirSync(join(project.folder, 'sub'))
  await project.run(['dispatch', 'greet', '{"name":"a"}', '--log', 'sqlite:./other.db'], {
    cwd: join(project.folder, 'sub'),
  })
  expect(await project.json('jobs', 'list')).toMatchObject({ jobs: [] })
  expect(await project.json('jobs', 'list', '--log', 'sqlite:sub/other.db')).toMatchObject({
    jobs: [{ name: 'greet' }],
  })
})

test.each([
  ['queues', 'list'],
  ['queues', 'pause', 'a'],
  ['jobs', 'list'],
  ['events'],
  ['events', '--follow'],
  ['workers', 'list'],
  ['keys'],
  ['doctor'],
  ['prune'],
])('errand %s %s makes no job log where there is none', async (...words) => {
  const project = makeProject({ files: config("export default { log: 'sqlite:./mistyped.db' }").files })
  const ran = await project.command(...words)
  expect(ran).toMatchObject({ code: 7, stdout: '' })
  expect(ran.stderr).toMatch(/E_LOG_VERSION.*no job log.*mistyped\.db.*errand migrate/)
  expect(existsSync(join(project.folder, 'mistyped.db'))).toBe(false)
})

test('--log is a path in a folder with a % and a # in its name', async () => {
  const project = makeProject()
  const cwd = join(project.folder, '50% #1')
  mkdirSync(cwd)
  const ran = await project.run(['migrate', '--log', 'sqlite:./a%20b.db'], { cwd })
  expect(ran, ran.stderr).toMatchObject({ code: 0 })
  expect(existsSync(join(cwd, 'a b.db'))).toBe(true)
  expect(await project.run(['migrate', '--log', 'sqlite:./50%.db'], { cwd })).toMatchObject({
    code: 5,
    stderr: expect.stringMatching(/E_URL.*%25/),
  })
})

test.each([
  ['is missing', ['--config', 'nope.ts'], {}, /nope\.ts does not exist/],
  ['throws', [], config('throw new Error("no such secret")'), /could not be loaded: Error: no such secret/],
  [
    'exports nothing',
    [],
    config('export const a = 1'),
    /exports nothing by default.*export default defineConfig/,
  ],
  ['exports no object', [], config('export default "sqlite:./a.db"'), /exports a string by default/],
  [
    'has an unknown option',
    [],
    config(`import { defineConfig } from 'errand'\nexport default defineConfig({ wroker: 'a' } as never)`),
    /E_OPTION.*"wroker".*did you mean "worker"/,
  ],
  [
    'imports what is not installed',
    [],
    config('import "nope-nope"'),
    /imports nope-nope, which is not installed: npm install nope-nope/,
  ],
])('a configuration that %s is told as E_CONFIG, exit 5', async (_what, words, files, message) => {
  const ran = await makeProject(files).command('jobs', 'list', ...words)
  expect(ran).toMatchObject({ code: 5, stdout: '' })
  expect(ran.stderr).toContain('E_CONFIG')
  expect(ran.stderr).toMatch(message)
})

test('a driver that is not installed is named with the command that adds it', async () => {
  const application = makeApplication({ files: { 'pnpm-lock.yaml': '' } })
  const driver = ['--driver', 'amqp://127.0.0.1']
  const ran = await application.command('dispatch', 'mail.send', '{}', '--unchecked', ...driver)
  expect(ran.code).toBe(5)
  expect(ran.stderr).toMatch(/E_PACKAGE_MISSING.*pnpm add @errand\/driver-rabbitmq/)
  // Who only reads needs none.
  expect(await application.command('jobs', 'list', ...driver)).toMatchObject({ code: 0 })
})

test('an unknown scheme is told with those that are known, and without what stands behind it', async () => {
  const ran = await makeProject().command('jobs', 'list', '--log', 'mysql://root:secret@host/x')
  expect(ran.code).toBe(5)
  expect(ran.stderr).toMatch(/E_URL.*mysql.*postgres:/)
  expect(ran.stderr).not.toContain('secret')
})

test('a log that does not answer is exit 4, so that a script may try again', async () => {
  const ran = await makeProject().command('jobs', 'list', '--log', 'postgres://errand@127.0.0.1:9/none')
  expect(ran).toMatchObject({ code: 4, stdout: '' })
  expect(ran.stderr).toContain('E_LOG_UNREACHABLE')
})
