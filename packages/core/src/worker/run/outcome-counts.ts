import type { Ended } from '../../define/hooks.ts'
import { noneEnded } from '../../define/worker.ts'
import type { WorkerHealth } from '../../define/worker.ts'

/** How many runs of this worker have ended, and how. */
export class OutcomeCounts {
  readonly #counts = { ...noneEnded }

  get counts(): WorkerHealth['ended'] {
    return { ...this.#counts }
  }

  add(outcome: Ended['outcome']): void {
    this.#counts[outcome] += 1
  }
}
