import type { Duration } from '../duration.ts'

/** When a schedule ticks: by the clock of a place, at equal distances, or once. */
export type ScheduleTimes = CronTimes | EveryTimes | OnceTimes

interface CronTimes {
  /**
   * Minute, hour, day of the month, month, day of the week, and seconds before them where there are six. If both days are given,
   * either counts. `L`, `W` and `#` are known.
   * @example '30 2 * * mon-fri'
   */
  readonly cron: string
  /** A zone of the IANA list. Default `UTC`. */
  readonly zone?: string | undefined
}

interface EveryTimes {
  /** At least a second. Changes of the clock do not matter: it is counted from `from`. */
  readonly every: Duration
  /** One of the moments. Default: 1970-01-01T00:00:00Z, so every process has the same ones. */
  readonly from?: Date | undefined
}

interface OnceTimes {
  readonly at: Date
}

/** Times that were checked, as they are stored. */
export type StoredTimes =
  | { readonly kind: 'cron'; readonly cron: string; readonly zone: string }
  | { readonly kind: 'every'; readonly everyMs: number; readonly fromMs: number }
  | { readonly kind: 'once'; readonly atMs: number }
