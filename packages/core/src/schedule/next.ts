import { openCron } from './cron.ts'
import type { StoredTimes } from './times.ts'

/**
 * The first tick after a moment, in milliseconds since the epoch. Undefined if none comes.
 * @example nextTick({ kind: 'cron', cron: '30 2 * * *', zone: 'Europe/Berlin' }, Date.now())
 */
export function nextTick(times: StoredTimes, afterMs: number): number | undefined {
  switch (times.kind) {
    case 'cron': {
      // croner thinks in whole seconds, and takes the next one after the moment's own.
      const after = new Date(Math.floor(afterMs / 1_000) * 1_000)
      return openCron(times.cron, times.zone).nextRun(after)?.getTime()
    }
    case 'every': {
      const { everyMs, fromMs } = times
      return fromMs + (Math.floor((afterMs - fromMs) / everyMs) + 1) * everyMs
    }
    case 'once':
      return times.atMs > afterMs ? times.atMs : undefined
    default:
      return times satisfies never
  }
}

/** The newest tick that is not after a moment, and not before another one. */
export function lastTick(times: StoredTimes, fromMs: number, untilMs: number): number | undefined {
  let found: number | undefined
  switch (times.kind) {
    case 'cron': {
      // The one before the next second, so that a tick at the moment itself counts.
      const before = new Date((Math.floor(untilMs / 1_000) + 1) * 1_000)
      found = openCron(times.cron, times.zone).previousRuns(1, before)[0]?.getTime()
      break
    }
    case 'every':
      found = times.fromMs + Math.floor((untilMs - times.fromMs) / times.everyMs) * times.everyMs
      break
    case 'once':
      found = times.atMs <= untilMs ? times.atMs : undefined
      break
    default:
      return times satisfies never
  }
  return found !== undefined && found >= fromMs ? found : undefined
}
