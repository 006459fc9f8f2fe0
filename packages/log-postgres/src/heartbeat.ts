import { systemClock } from '@errand/core/ports'
import type { HeartbeatLog } from '@errand/core/ports'
import { openPostgresLog } from './log.ts'
import type { ResolvedOptions } from './options.ts'

/** Opens the log for the heartbeat's thread, with a connection of its own that no statement of a handler can keep waiting. */
export function openHeartbeat(data: ResolvedOptions): HeartbeatLog {
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  return openPostgresLog({ ...data, poolSize: 1, migrate: false }, { clock: systemClock, logger: quiet })
}
