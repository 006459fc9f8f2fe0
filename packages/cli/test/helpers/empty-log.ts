import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createErrand } from '@errand/core'
import { sqlite } from '@errand/log-sqlite'

const folder = mkdtempSync(join(tmpdir(), 'errand-cli-log-'))
const made = join(folder, 'errand.db')
const errand = createErrand({ log: sqlite({ file: made }), driver: 'database' })
await errand.connect()
await errand.close()
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

/** A job log with nothing in it: commands that only look make none. */
export function emptyLog(file: string): void {
  copyFileSync(made, file)
}
