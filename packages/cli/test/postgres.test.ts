import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { makeApplication } from './helpers/application.ts'
import type { Ran } from './helpers/command.ts'

const url = inject('postgres') ?? ''

/** A schema of its own, dropped at the end. */
function schemaUrl(): string {
  const schema = `errand_cli_${randomBytes(6).toString('hex')}`
  onTestFinished(async () => {
    const client = new Client({ connectionString: url })
    await client.connect()
    await client.query(`drop schema if exists ${schema} cascade`)
    await client.end()
  })
  const log = new URL(url)
  log.searchParams.set('schema', schema)
  return log.href
}

test.skipIf(url === '')(
  'the same application does the same on PostgreSQL, once migrate has made the schema',
  async () => {
    const app = makeApplication()
    const env = { TEST_LOG: schemaUrl() }
    const run = (...words: readonly string[]): Promise<Ran> => app.run(words, { env })

    const early = await run('jobs', 'list')
    expect(early, early.stderr).toMatchObject({ code: 7, stdout: '' })
    expect(early.stderr).toMatch(/E_LOG_VERSION.*errand migrate/)

    expect(await run('migrate')).toMatchObject({ code: 0 })
    const sent = await run('dispatch', 'greet', '{"name":"ada"}', '--json')
    expect(sent, sent.stderr).toMatchObject({ code: 0 })
    const worked = await run('work', '--stop-when-empty')
    expect(worked, worked.stderr).toMatchObject({ code: 0 })
    const listed = await run('jobs', 'list', '--json')
    expect(JSON.parse(listed.stdout)).toMatchObject({
      jobs: [{ state: 'succeeded', result: { text: 'hello, ada' } }],
    })
    const events = await run('events', '--json')
    expect(events.stdout.split('\n').filter((line) => line !== '')).toHaveLength(3)
    const doctor = await run('doctor')
    expect(doctor, doctor.stdout).toMatchObject({ code: 0 })
    const direct = await run('run', 'greet', '{"name":"bob"}')
    expect(JSON.parse(direct.stdout)).toEqual({ text: 'hello, bob' })
  },
)

test.skipIf(url === '')('a follower on PostgreSQL sees what another process does', async () => {
  const app = makeApplication()
  const env = { TEST_LOG: schemaUrl() }
  await app.run(['migrate'], { env })
  const follower = app.start(['events', '--follow', '--after', 'start'], { env })
  await app.run(['dispatch', 'greet', '{"name":"ada"}'], { env })
  await app.run(['work', '--stop-when-empty'], { env })
  await follower.saying(/dispatched[\s\S]*started[\s\S]*succeeded/)
})

test.skipIf(url === '')(
  'the follower of a job that has ended tells all of it beside an open transaction',
  async () => {
    const app = makeApplication()
    const env = { TEST_LOG: schemaUrl() }
    await app.run(['migrate'], { env })
    const somebody = new Client({ connectionString: url })
    await somebody.connect()
    onTestFinished(() => somebody.end())
    await somebody.query('begin')
    await somebody.query('select pg_current_xact_id()')

    const sent = await app.run(['dispatch', 'greet', '{"name":"ada"}', '--json'], { env })
    await app.run(['work', '--stop-when-empty'], { env })
    const { id } = JSON.parse(sent.stdout) as { id: string }
    for (const follow of [['--follow'], []]) {
      const told = await app.run(['events', ...follow, '--job', id, '--json'], { env })
      expect(told, told.stderr).toMatchObject({ code: 0 })
      const types = told.stdout
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as { type: string }]))
      expect(types.map(({ type }) => type)).toEqual(['dispatched', 'started', 'succeeded'])
    }
  },
)

test.skipIf(url === '')('what a newer build wrote into the log is shown as unknown', async () => {
  const app = makeApplication()
  const log = schemaUrl()
  const env = { TEST_LOG: log }
  await app.run(['migrate'], { env })
  const sent = await app.run(['dispatch', 'greet', '{"name":"ada"}', '--json'], { env })
  const { id } = JSON.parse(sent.stdout) as { id: string }
  const schema = new URL(log).searchParams.get('schema')
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query(
    `update ${schema}.live set state = 99; update ${schema}.events set type = 98, state = 99`,
  )
  await client.end()
  const listed = await app.run(['jobs', 'list'], { env })
  expect(listed, listed.stderr).toMatchObject({ code: 0 })
  expect(listed.stdout).toMatch(/unknown.*a newer version of errand wrote this state/)
  const shown = await app.run(['jobs', 'show', id], { env })
  expect(shown, shown.stderr).toMatchObject({ code: 0 })
  const events = await app.run(['events'], { env })
  expect(events.stdout).toMatch(/unknown.*a newer version of errand wrote this event/)
})
