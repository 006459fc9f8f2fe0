import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '@errand/core'
import { memoryLog } from '@errand/core/testing'
import { onTestFinished } from 'vitest'
import { ownSchema } from '../security/schema.ts'

/** An empty log of each kind, gone with its test. */
export const logs: Readonly<Record<string, () => Promise<Config['log']>>> = {
  memory: async () => memoryLog(),
  sqlite: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-failure-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    return `sqlite:${join(folder, 'errand.db')}`
  },
  postgres: async () => (await ownSchema()).url,
}
