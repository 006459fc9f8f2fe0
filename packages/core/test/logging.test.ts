import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { checkLogLines } from '@errand/testkit'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { LateLogger, loadDefaultLogger } from '../src/default-logger.ts'
import { toFailure } from '../src/failure/to-failure.ts'
import { childLogger, failureLine, maskingLogger } from '../src/logging.ts'
import { catchRefusal } from './catch-refusal.ts'
import { recordingLogger } from './recording-logger.ts'

test('credentials reach no log line by message, field, error, cause or a property of a library’s error', () => {
  const recording = recordingLogger()
  const cause = Object.assign(new Error('refused by amqp://user:secret@host'), {
    config: { password: 'secret' },
  })
  const error = Object.assign(new Error('publish to amqp://user:secret@host failed', { cause }), {
    code: 'E_DRIVER',
  })
  maskingLogger(recording).error(
    { err: error, url: 'amqp://user:secret@host', nested: { urls: ['amqp://user:secret@host'] } },
    'lost amqp://user:secret@host',
  )
  expect(JSON.stringify(recording.lines)).not.toContain('secret')
  expect(recording.lines).toMatchObject([
    { level: 'error', fields: { err: { code: 'E_DRIVER', message: 'publish to amqp://***@host failed' } } },
  ])
})

test('the default logger is pino, so that a child of it can be made, at the level of the environment', async () => {
  expect(await loadDefaultLogger({})).toMatchObject({ level: 'info' })
  expect(await loadDefaultLogger({ ERRAND_LOG_LEVEL: 'silent' })).toHaveProperty('child')
  const refusal = await catchRefusal(() => new LateLogger({ ERRAND_LOG_LEVEL: 'loud' }))
  expect(refusal).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('ERRAND_LOG_LEVEL') })
})

test('a URL object is masked like its text, and nothing passes unmasked because it lies deep', () => {
  const recording = recordingLogger()
  let deep: object = { url: 'amqp://user:secret@host', error: new Error('amqp://user:secret@host') }
  for (let depth = 0; depth < 10; depth += 1) deep = { deep }
  maskingLogger(recording).warn({
    at: new URL('amqp://user:secret@host'),
    bare: Object.assign(Object.create(null) as object, { url: 'amqp://user:secret@host' }),
    deep,
  })
  expect(JSON.stringify(recording.lines)).not.toContain('secret')
})

/** What a script of its own writes, with these names at hand. */
async function run(script: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const from = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)
  return promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    `const { createErrand, defineJob, handle } = await import(${from('../src/index.ts')})
     const { memoryDriver, memoryLog } = await import(${from('../src/testing.ts')})
     const { LateLogger, loadDefaultLogger } = await import(${from('../src/default-logger.ts')})
     ${script}`,
  ])
}

test('the default logger leaves standard output to the script', async () => {
  const { stdout, stderr } = await run(`
    ;(await loadDefaultLogger()).info({}, 'to standard error')
    ;(await loadDefaultLogger({}, 'stdout')).info({}, 'to standard output')`)
  expect(JSON.parse(stdout)).toMatchObject({ msg: 'to standard output' })
  expect(JSON.parse(stderr)).toMatchObject({ msg: 'to standard error' })
})

test('lines from before the default logger is loaded are written in their order, and later ones at once', async () => {
  const { stderr } = await run(`
    const logger = new LateLogger({})
    logger.warn({}, 'first')
    logger.info({ field: 1 }, 'second')
    await logger.loaded()
    logger.error({}, 'third')
    process.exit()`)
  const lines = stderr.trim().split('\n')
  expect(lines.map((line) => (JSON.parse(line) as { readonly msg: string }).msg)).toEqual([
    'first',
    'second',
    'third',
  ])
})

test('an instance of its own logger does not load the default one, and the other has it before it connects', async () => {
  const { stderr } = await run(`
    const { registerHooks } = await import('node:module')
    const seen = []
    registerHooks({ load: (url, context, next) => (seen.push(url), next(url, context)) })
    const loaded = () => seen.some((url) => /\\/pino\\//.test(url))
    const quiet = { debug() {}, info() {}, warn() {}, error() {} }
    for (const logger of [quiet, undefined]) {
      await using errand = createErrand({ log: memoryLog(), driver: memoryDriver(), ...(logger && { logger }) })
      await errand.connect()
      console.error(loaded())
    }`)
  expect(stderr).toBe('false\ntrue\n')
})

test('a script that works finds on its standard output what it has written, and nothing else', async () => {
  const { stdout, stderr } = await run(`
    const errand = createErrand({ log: memoryLog(), driver: memoryDriver() })
    const handlers = [handle(defineJob({ name: 'a' }), () => {})]
    await errand.work({ handlers }, { signals: false }).ready
    console.log('mine')
    await errand.close()`)
  expect(stdout).toBe('mine\n')
  expect(stderr).toContain('the worker takes jobs')
})

test('the stored failure of a job is a line of pino with the type of its error, and its cause', () => {
  let written = ''
  const log = maskingLogger(pino({}, { write: (line: string) => void (written += line) }))
  const thrown = new TypeError('no card', { cause: new RangeError('too long') })
  log.error({ err: failureLine(toFailure(thrown)) }, 'a job has failed')
  log.error({ err: thrown }, 'another has failed')
  expect(() => checkLogLines(written)).not.toThrow()
  for (const line of written.trim().split('\n'))
    expect(JSON.parse(line)).toMatchObject({ err: { type: 'TypeError', message: 'no card: too long' } })
})

test('no line has a key twice, for any fields that a handler logs or the application’s logger binds', () => {
  let written = ''
  const write = (line: string): void => void (written += line)
  const logger = pino({ name: 'shop' }, { write }).child({ job: 'bound', region: 'eu' })
  const log = childLogger(maskingLogger(logger), { job: 'id', jobName: 'pay', attempt: 1 })
  log.info(
    { name: 'ada', level: 7, time: 'now', msg: 'mine', pid: 1, hostname: 'h', region: 'us', job: 2 },
    'paid',
  )
  log.error({ err: new AggregateError([new Error('a')], 'b', { cause: new Error('c') }) }, 'broken')
  expect(() => checkLogLines(written)).not.toThrow()
  const [line = ''] = written.split('\n')
  expect(JSON.parse(line)).toMatchObject({
    name: 'shop',
    name_: 'ada',
    region: 'eu',
    region_: 'us',
    msg: 'paid',
  })
  expect(() => checkLogLines('{"level":30,"name":"a","name":"b"}\n')).toThrow('a key twice')
})
