import type { QueueRecord } from '../ports/operations.ts'

/** No queue has more ready jobs than this, also where the log has estimated them. */
export function readyAtMost({ ready, estimated }: QueueRecord): number {
  return estimated.includes('ready') ? 2 * ready : ready
}
