import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { checkLogLines } from '@errand/testkit'
import { expect, test } from 'vitest'
import { temporaryFolder } from './temporary.ts'

test.skipIf(process.platform !== 'linux')(
  'a connection whose disk has failed is replaced: the next job is stored',
  () => {
    const file = join(temporaryFolder(), 'jobs.db')
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, 'fixtures', 'failing-disk.ts'), file],
      { encoding: 'utf8' },
    )
    checkLogLines(stderr)
    expect(JSON.parse(stdout || 'null'), stderr).toEqual({
      told: ['added', expect.stringMatching(/^E_LOG: the disk of .*jobs\.db failed/), 'added'],
      stored: 2,
    })
  },
)
