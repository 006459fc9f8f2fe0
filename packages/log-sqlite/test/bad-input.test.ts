import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { checkLogLines } from '@errand/testkit'
import { describe, expect, test } from 'vitest'
import { sqlite } from '../src/index.ts'
import { openLog, temporaryFolder } from './temporary.ts'

describe('a wrong URL is refused before anything is opened', () => {
  test.each([
    ['sqlite:', 'names no file'],
    ['sqlite:./folder/', 'names no file'],
    ['sqlite::memory:', 'a log of its own'],
    ['sqlite:./50%.db', 'write it as %25'],
    ['sqlite:///srv/50%zz.db', 'write it as %25'],
    ['sqlite:./a#1.db', '%23'],
    ['file:./a.db', 'is not a URL'],
  ])('%s', (url, why) => {
    expect(() => sqlite(url)).toThrow(
      expect.objectContaining({ code: 'E_URL', message: expect.stringContaining(why) }),
    )
  })
})

test.each([{ file: '' }, { file: 7 }, { file: './a\0b.db' }, {}, { flie: './a.db' }, null])(
  'the options %o are refused',
  (options) => {
    expect(() => sqlite(options as never)).toThrow(expect.objectContaining({ code: 'E_OPTION' }))
  },
)

test('a path in a URL may be relative, absolute, with two slashes, or percent-encoded', async () => {
  const folder = temporaryFolder()
  for (const url of [`sqlite:${folder}/a b.db`, `sqlite://${folder}/a%20b.db`]) {
    const log = sqlite(url).open({ logger: console, clock: (await import('@errand/core/ports')).systemClock })
    await log.connect()
    await log.close()
  }
  expect(
    new DatabaseSync(join(folder, 'a b.db')).prepare('select count(*) as n from errand_log').get(),
  ).toEqual({ n: 1 })
})

test('a folder that does not exist is named', async () => {
  const log = openLog(join(temporaryFolder(), 'missing', 'jobs.db'))
  await expect(log.connect()).rejects.toMatchObject({
    code: 'E_LOG_UNREACHABLE',
    message: expect.stringContaining('missing does not exist'),
  })
})

test('a file that is no database is named', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  writeFileSync(file, 'these are not the bytes you are looking for'.repeat(100))
  await expect(openLog(file).connect()).rejects.toMatchObject({
    code: 'E_LOG',
    message: expect.stringContaining(file),
  })
})

test('a folder and a file that cannot be written say so', async () => {
  const folder = temporaryFolder()
  chmodSync(folder, 0o755)
  const sealed = join(folder, 'sealed')
  mkdirSync(sealed)
  await openLog(join(sealed, 'there.db')).connect()
  chmodSync(join(sealed, 'there.db'), 0o444)
  chmodSync(sealed, 0o555)
  // Root may write anywhere, so the attempt is made by a process that is somebody else.
  const asNobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  for (const name of ['new.db', 'there.db']) {
    const run = spawnSync(
      process.execPath,
      [join(import.meta.dirname, 'fixtures', 'connect.ts'), join(sealed, name)],
      { ...asNobody, encoding: 'utf8' },
    )
    checkLogLines(run.stderr)
    expect(run.stdout, run.stderr).toContain('E_READ_ONLY')
    expect(run.stdout).toContain('set ERRAND_LOG to another path')
  }
})

test('a schema that is newer than this code is refused, and left as it is', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  await openLog(file).connect()
  const database = new DatabaseSync(file)
  database.exec('update errand_log set schema_version = 9, oldest_code = 9')
  await expect(openLog(file).connect()).rejects.toMatchObject({
    code: 'E_LOG_VERSION',
    message: expect.stringContaining('update @errand/log-sqlite'),
  })
  database.exec('update errand_log set oldest_code = 1')
  await expect(
    openLog(file).connect(),
    'newer, but it says that this code may still use it',
  ).resolves.toMatchObject({
    schemaVersion: 9,
  })
})
