import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { errandCommand, examples, node } from './commands.ts'

const postgres = inject('postgres')
const schema = `errand_thumbnails_${randomBytes(4).toString('hex')}`
const folder = mkdtempSync(join(tmpdir(), 'errand-thumbnails-'))
const cwd = join(examples, 'thumbnails')

beforeAll(() => {
  // What runs below on two logs must be one and the same application.
  for (const file of ['app.ts', 'worker.ts', 'errand.config.ts', 'jobs.ts']) {
    expect(readFileSync(join(cwd, file), 'utf8')).not.toMatch(/sqlite|postgres/i)
  }
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  if (postgres === undefined) return
  const client = new Client({ connectionString: postgres })
  await client.connect()
  await client.query(`drop schema if exists ${schema} cascade`)
  await client.end()
})

describe('the thumbnails application', { timeout: 120_000 }, () => {
  it('runs on SQLite', () => run(`sqlite:${join(folder, 'errand.db')}`, join(folder, 'sqlite')))

  it.skipIf(postgres === undefined)('runs on PostgreSQL with only ERRAND_LOG changed', () => {
    const log = new URL(postgres ?? '')
    log.searchParams.set('schema', schema)
    return run(log.href, join(folder, 'postgres'))
  })
})

/** What its README says: migrate, start workers, run the application. */
async function run(log: string, thumbnails: string): Promise<void> {
  const env = { ERRAND_LOG: log, THUMBNAILS: thumbnails }
  await using migrate = node([errandCommand, 'migrate'], { cwd, env })
  expect(await migrate.exitCode, migrate.output()).toBe(0)

  await using worker = node([errandCommand, 'work'], { cwd, env })
  const files = ['fig', 'dogs', 'nuthatch'].map((name) => join(examples, 'photos', `${name}.jpg`))
  await using app = node(['app.ts', ...files], { cwd, env })
  expect(await app.exitCode, app.output() + worker.output()).toBe(0)

  const made = ['fig', 'dogs', 'nuthatch'].map((name) => join(thumbnails, `${name}-200.webp`))
  expect(app.output().trim().split('\n')).toEqual(made)
  expect(made.every((file) => existsSync(file))).toBe(true)

  worker.child.kill('SIGTERM')
  expect(await worker.exitCode, worker.output()).toBe(0)
}
