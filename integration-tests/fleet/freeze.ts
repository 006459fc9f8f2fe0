import { DatabaseSync } from 'node:sqlite'
import { pause } from './looks.ts'
import type { Member } from './member.ts'

/**
 * Stops a process. One that is stopped in the middle of a commit to SQLite holds the file's only write lock for as long as it
 * stands: that is SQLite's, and stops everybody. So on SQLite it is stopped again until it stands outside of one.
 */
export async function freeze(worker: Member, url: string): Promise<void> {
  for (;;) {
    worker.signal('SIGSTOP')
    if (!url.startsWith('sqlite:') || (await canWrite(url.slice('sqlite:'.length)))) return
    worker.signal('SIGCONT')
    await pause()
  }
}

/** Whether the lock can be had within a second, between the commits of the others. */
async function canWrite(file: string): Promise<boolean> {
  const connection = new DatabaseSync(file, { timeout: 1_000 })
  try {
    connection.exec('begin immediate; rollback')
    return true
  } catch {
    return false
  } finally {
    connection.close()
    await pause()
  }
}
