import type { DriverFactory } from '@errand/core/ports'

export interface FaultyDriver {
  /** For `createErrand`. */
  readonly driver: string | DriverFactory | undefined
  /** Takes a line: the rates of SQS' faults from now on, as JSON. Says how many requests there were. */
  readonly disturb: (line: string) => void
}

/** The driver of `ERRAND_DRIVER`; with `SQS_FAULTS`, SQS with faults. Its SDK is slow to load, so it is loaded only then. */
export async function openDriver(env: NodeJS.ProcessEnv): Promise<FaultyDriver> {
  const url = env['ERRAND_DRIVER']
  if (!url?.startsWith('sqs:') || env['SQS_FAULTS'] === undefined) return { driver: url, disturb: () => {} }
  const { faultySqs } = await import('./faulty-sqs.ts')
  return faultySqs(url)
}
