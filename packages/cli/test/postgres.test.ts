import { randomBytes } from 'node:crypto'
import { inject, test, expect } from 'vitest'
import { makeApplication } from './helpers/application.ts'

const url = inject('postgres')

test.skipIf(url === undefined)(
  'the same application does the same on PostgreSQL, in a schema that migrate makes',
  async () => {
    const schema = `errand_cli_${randomBytes(4).toString('hex')}`
    const log = new URL(url ?? '')
    log.searchParams.set('schema', schema)
    const project = makeApplication()
    const env = { TEST_LOG: log.href }
    const run = (...words: readonly string[]) => project.run(words, { env })

    const early = await run('jobs', 'list')
    expect(early).toMatchObject({ code: 7 })
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
    expect(await run('doctor')).toMatchObject({ code: 0 })
  },
)
