import type { Errand } from '@errand/core'
import { blocking, once, ordered, paid, skipping, work } from './jobs.ts'

/** Dispatches the n-th job. Resolves with the id of the stored job, and whether to cancel it. */
export type Plan = (
  errand: Errand,
  n: number,
  id: string,
) => Promise<{ readonly id: string; readonly cancelAfterMs?: number }>

/** What a dispatcher dispatches, by the name in its environment. */
export const plans = {
  /** Only work that succeeds. */
  plain: (errand, n, id) => errand.dispatch(work, { n, failures: 0, ms: n % 10 }, { id }),

  /** Jobs of every kind that ends by itself. */
  mixed: (errand, n, id) => {
    const ms = n % 10
    const failures = n % 14 === 3 ? 1 : 0
    if (n % 10 === 0) return errand.dispatch(once, { n, ms }, { id })
    if (n % 10 === 1) return errand.dispatch(paid, { n, ms }, { id })
    if (n % 10 < 6) return errand.dispatch(ordered, { n, key: `key-${n % 5}`, failures, ms }, { id })
    return errand.dispatch(work, { n, failures, ms }, { id, lane: n % 3 === 0 ? 'high' : 'normal' })
  },

  /** Jobs of every kind, also those that an operator has to skip, and those that are cancelled. */
  every: async (errand, n, id) => {
    const [kind, turn] = [n % 20, Math.floor(n / 20)]
    const ms = n % 10
    const failures = turn % 3 === 0 ? 1 + (turn % 2) : 0
    switch (kind) {
      case 0:
        return errand.dispatch(once, { n, ms: turn % 4 === 0 ? 800 : ms }, { id })
      case 1:
      case 2:
        return errand.dispatch(paid, { n, ms }, { id })
      case 3:
      case 4:
      case 5:
      case 6:
        return errand.dispatch(ordered, { n, key: `key-${n % 5}`, failures, ms }, { id })
      case 7:
        return errand.dispatch(skipping, { key: `skip-${turn % 2}`, fails: turn % 3 === 0 }, { id })
      case 8: {
        // Every fourth job of a key fails for good, and the two behind it wait until an operator skips it.
        const key = `${process.pid}-${Math.floor(turn / 4)}`
        return errand.dispatch(blocking, { key, fails: turn % 4 === 1 }, { id })
      }
      case 9:
        return errand.dispatch(work, { n, failures, ms }, { id, delay: 500 + (n % 4) * 500 })
      case 10:
      case 11:
        return errand.dispatch(work, { n, failures: 0, ms: 200 }, { id, uniqueKey: `unique-${turn % 2}` })
      case 12:
        await errand.dispatch(work, { n, failures: 0, ms }, { id, delay: '1m' })
        return { id, cancelAfterMs: 0 }
      case 13:
        await errand.dispatch(work, { n, failures: 0, ms: 2_000 }, { id })
        return turn % 2 === 0 ? { id, cancelAfterMs: 500 } : { id }
      case 14:
        return errand.dispatch(work, { n, failures: 0, ms: 2_000 }, { id, lane: 'low' })
      default:
        return errand.dispatch(work, { n, failures, ms }, { id, lane: kind === 15 ? 'high' : 'normal' })
    }
  },
} satisfies Readonly<Record<string, Plan>>
