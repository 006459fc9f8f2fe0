import { systemClock } from '@errand/core/ports'
import type { HeartbeatLog } from '@errand/core/ports'
import { openSqliteLog } from './log.ts'

// 0 turns SQLite's own waiting off, although a separate thread may block. In the end SQLite looks only every 100 ms,
// while the other processes look every 1 to 5 ms. A beat among busy workers took up to 3.6 s.
const busyTimeoutMs = 0

/** Opens the log for the heartbeat's thread. */
export function openHeartbeat(data: { readonly file: string }): HeartbeatLog {
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  return openSqliteLog(data.file, { clock: systemClock, logger: quiet, create: false }, { busyTimeoutMs })
}
