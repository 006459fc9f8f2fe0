/** Why a run was given back, and what that means. The reason is in the `released` event, and in the worker's log. */
export const releaseReasons = {
  asked: 'its handler gave it back',
  shutdown: 'its worker stops',
  'lease-out': 'the lease of its worker was out before it began',
  'not-alone': 'it was lost before, so it runs alone, and its worker did not become free in time',
  ahead: 'it was granted ahead of a slot, and none came free in time',
  'no-slot': 'its worker had no slot for it',
  unheard: 'the answer that granted it never reached its worker',
  undelivered: 'its driver got the grant, but its worker did not take the job',
} as const

export type ReleaseReason = keyof typeof releaseReasons
