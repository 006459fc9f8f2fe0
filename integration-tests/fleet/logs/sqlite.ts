import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { LogKind } from '../place.ts'

export const log: LogKind = {
  name: 'sqlite',
  title: 'SQLite',
  cannot: {
    'reply of a settle lost': 'a call into a file has no reply that could be lost',
    'database slow': 'there is no network in between',
    'clock off': 'all processes share the clock of their machine, which is the log’s',
  },
  toUrl: (_server, name, folder) => `sqlite:${join(folder, `${name}.db`)}`,
  async whileLocked(url, act) {
    const file = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5_000 })
    try {
      file.exec('begin immediate')
      await act()
      file.exec('rollback')
    } finally {
      file.close()
    }
  },
}
