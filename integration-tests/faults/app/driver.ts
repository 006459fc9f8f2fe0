import type { DriverFactory } from '@errand/core/ports'

export interface FaultyDriver {
  /** For `createErrand`. */
  readonly driver: string | DriverFactory | undefined
  /** Takes a line: the rates of SQS' faults from now on, as JSON. Says how many requests there were. */
  readonly disturb: (line: string) => void
}

/** The driver of a URL; that of SQS with faults in it. Its SDK is slow to load, and the others need not wait for it. */
export async function driverOf(url: string | undefined): Promise<FaultyDriver> {
  if (!url?.startsWith('sqs:')) return { driver: url, disturb: () => {} }
  const { faultySqs } = await import('./faulty-sqs.ts')
  return faultySqs(url)
}
