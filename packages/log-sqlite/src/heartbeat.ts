import { systemClock } from '@errand/core/ports'
import type { HeartbeatLog } from '@errand/core/ports'
import { openSqliteLog } from './log.ts'

// Not SQLite's own waiting, which a thread of its own could afford: it looks every 100 ms in the end, while the other
// processes look every 1 to 5 ms, and a beat among busy workers took up to 3.6 s to get through.
const busyTimeoutMs = 0

/** Opens the log for the heartbeat's thread. */
export function openHeartbeat(data: { readonly file: string }): HeartbeatLog {
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  return openSqliteLog(data.file, { clock: systemClock, logger: quiet, create: false }, { busyTimeoutMs })
}
