import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Client } from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { makeProject } from './helpers/project.ts'

const url = inject('postgres') ?? ''
const page = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8')

test('errand roles prints what the documentation shows, without a database, with other names if given', async () => {
  const project = makeProject()
  const env = { ERRAND_LOG: 'postgres://owner@127.0.0.1:1/nowhere' }
  const printed = await project.run(['roles'], { env })
  expect(printed, printed.stderr).toMatchObject({ code: 0, stderr: '' })
  expect(page).toContain('```sql\n' + printed.stdout + '```')

  const named = await project.run(['roles', '--worker', 'jobs', '--json'], { env })
  const { roles, applied, sql } = JSON.parse(named.stdout) as { roles: object; applied: boolean; sql: string }
  expect({ roles, applied }).toEqual({ roles: { worker: 'jobs' }, applied: false })
  expect(sql).toContain('to "jobs";')
  expect(sql).not.toContain('errand_dispatcher')

  const bad = await project.run(['roles', '--worker', 'a"; drop table b; --'], { env })
  expect(bad.code).toBe(2)
  const none = await project.run(['roles'], { env: { ERRAND_LOG: 'sqlite:./errand.db' } })
  expect(none).toMatchObject({ code: 2 })
  expect(none.stderr).toContain('permissions of its files')
})

test.skipIf(url === '')(
  'errand roles --apply gives the rights, and who lacks one is told so with exit code 6',
  async () => {
    const tag = randomBytes(6).toString('hex')
    const [schema, role] = [`errand_cli_${tag}`, `errand_cli_${tag}_dispatcher`]
    const client = new Client({ connectionString: url })
    await client.connect()
    onTestFinished(async () => {
      await client.query(`drop schema if exists ${schema} cascade; drop owned by ${role}; drop role ${role}`)
      await client.end()
    })
    await client.query(`create role ${role} login password 'secret'`)
    const project = makeProject()
    const as = (user?: string): { readonly env: Record<string, string> } => {
      const log = new URL(url)
      if (user !== undefined) Object.assign(log, { username: user, password: 'secret' })
      log.searchParams.set('schema', schema)
      return { env: { ERRAND_LOG: log.href } }
    }
    expect(await project.run(['migrate'], as())).toMatchObject({ code: 0 })
    const applied = await project.run(['roles', '--dispatcher', role, '--apply'], as())
    expect(applied, applied.stderr).toMatchObject({
      code: 0,
      stdout: `the rights of ${role} are as they should be\n`,
    })

    const sent = await project.run(['dispatch', 'greet', '{}', '--unchecked', '--json'], as(role))
    expect(sent, sent.stderr).toMatchObject({ code: 0 })
    const { id } = JSON.parse(sent.stdout) as { id: string }
    expect(await project.run(['jobs', 'show', id], as(role))).toMatchObject({ code: 0 })
    const refused = await project.run(['jobs', 'cancel', id], as(role))
    expect(refused).toMatchObject({ code: 6 })
    expect(refused.stderr).toMatch(/E_RIGHTS.*permission denied for function cancel_v1; errand roles/)
    expect(await project.run(['roles', '--dispatcher', role, '--apply'], as(role))).toMatchObject({ code: 6 })
  },
)
