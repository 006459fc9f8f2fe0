import type { ClosedInfo, Errand, JobDetails, LimitInfo, LimitJobs, RateInfo } from '@errand/core'
import { mostAtLimitCounted } from '@errand/core/ports'
import { placeText } from './text.ts'
import { relative } from './times.ts'

/** `50, 5 per key`. */
export function concurrencyText({ concurrency }: Pick<LimitInfo, 'concurrency'>): string {
  return both(concurrency.total, concurrency.perKey, String)
}

/** `10/1s, 100/1m per key`. */
export function ratesText({ rate }: Pick<LimitInfo, 'rate'>): string {
  return both(rate.total, rate.perKey, rateText)
}

/** Both kinds of values in a line: `5 per key at a time, 100/1m per key`. */
export function valuesText(limit: LimitInfo): string {
  const concurrency = concurrencyText(limit)
  return (
    [concurrency && `${concurrency} at a time`, ratesText(limit)].filter(Boolean).join(', ') || 'no limit'
  )
}

function both<T>(total: T | undefined, perKey: T | undefined, format: (value: T) => string): string {
  return [total !== undefined && format(total), perKey !== undefined && `${format(perKey)} per key`]
    .filter(Boolean)
    .join(', ')
}

const times = [
  ['1s', 1],
  ['1m', 60],
  ['1h', 3_600],
  ['1d', 86_400],
] as const

/** As `--rate` takes it: `100/1m`, with its burst. The shortest time that gives a whole number, else one that gives at least 1. */
function rateText({ perSecond, burst }: RateInfo): string {
  const counts = times.map(([time, seconds]) => ({ time, count: perSecond * seconds }))
  const whole = counts.find(({ count }) => count > 0.5 && Math.abs(count - Math.round(count)) < 1e-6 * count)
  const shown = whole ?? counts.find(({ count }) => count >= 1) ?? counts.at(-1)!
  const count = whole ? Math.round(shown.count) : Number(shown.count.toPrecision(3))
  return `${count}/${shown.time} (burst ${burst})`
}

export function waitingText({ waiting }: Pick<LimitJobs, 'waiting'>): string {
  return waiting < mostAtLimitCounted ? String(waiting) : `${mostAtLimitCounted}+`
}

export function closedText({ until, by, reason }: ClosedInfo, now: number): string {
  const why = reason === undefined ? '' : `: ${reason}`
  return `opens ${relative(until.getTime(), now)}, closed by ${by}${why}`
}

/** The limit of a job and, if it waits there, why: `mail-api/acme · waits: 5 of 5 places of its key are taken`. */
export async function jobLimitText(
  errand: Errand,
  { name, key, waits }: NonNullable<JobDetails['limit']>,
): Promise<string> {
  const place = placeText(name, key)
  return waits ? `${place} · waits: ${await whyItWaits(errand, name, key)}` : place
}

async function whyItWaits(errand: Errand, name: string, key: string | undefined): Promise<string> {
  const limit = await errand.limits.get(name)
  if (!limit?.declared) return 'no worker declares it'
  const [ofKey] = key === undefined ? [] : await errand.limits.keys(name, { key })
  const closed = limit.closed ?? ofKey?.closed
  if (closed) return closedText(closed, Date.now())
  const { total, perKey } = limit.concurrency
  const inAll = limit.ready + limit.running
  const inKey = ofKey && ofKey.ready + ofKey.running
  if (perKey !== undefined && inKey !== undefined && inKey >= perKey)
    return `${inKey} of ${perKey} places of its key are taken`
  if (total !== undefined && inAll >= total) return `${inAll} of ${total} places are taken`
  const rates = ratesText(limit)
  return rates === '' ? 'it is its turn soon' : `for its turn at ${rates}`
}
