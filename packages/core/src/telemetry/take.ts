import type { Claim } from '../job/claim.ts'
import { isObserved, trace } from './channels.ts'
import type { ClaimContext } from './contexts.ts'

/** A request for jobs without tickets, told to those who observe `errand:claim`. For drivers that deliver claims. */
export function observedTake(
  request: Pick<ClaimContext, 'worker' | 'queues' | 'max'>,
  take: () => Promise<readonly Claim[]>,
): Promise<readonly Claim[]> {
  if (!isObserved('claim')) return take()
  return trace('claim', { ...request, tickets: undefined }, async (context) => {
    const claims = await take()
    context.claims = claims
    return claims
  })
}
