import { systemClock } from '@errand/core/ports'
import type { HeartbeatLog } from '@errand/core/ports'
import { openSqliteLog } from './log.ts'

// On a thread of its own nobody else waits, so here SQLite may wait for its lock: a beat must get through.
const busyTimeoutMs = 5_000

/** Opens the log for the heartbeat's thread. */
export function openHeartbeat(data: { readonly file: string }): HeartbeatLog {
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  return openSqliteLog(data.file, { clock: systemClock, logger: quiet }, { busyTimeoutMs })
}
