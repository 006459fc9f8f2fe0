import { DatabaseSync } from 'node:sqlite'
import { pause } from './looks.ts'
import type { Member } from './member.ts'

/**
 * Stops a process. If it is stopped in the middle of a commit to SQLite, it holds the file's only write lock, and every
 * writer waits. That is SQLite's behaviour. So on SQLite it is stopped again until it is outside of a commit.
 */
export async function freeze(worker: Member, url: string): Promise<void> {
  for (;;) {
    worker.signal('SIGSTOP')
    if (!url.startsWith('sqlite:') || (await canWrite(url.slice('sqlite:'.length)))) return
    worker.signal('SIGCONT')
    await pause()
  }
}

/** Whether this process gets the lock within a second, between the commits of others. */
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
