import { batcher } from '../../batching.ts'
import type { Batcher } from '../../batching.ts'
import type { Settings } from '../../config/defaults.ts'
import { isErrandError } from '../../errors.ts'
import type { WorkerRef } from '../../job/claim.ts'
import type { NewStep } from '../../job/memory.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { JobLog } from '../../ports/job-log.ts'
import type { Remembered } from '../../ports/memory.ts'
import { backoffMs } from '../../supervise.ts'

/** What became of a step. `over`: its run has ended meanwhile. */
export type Kept = Exclude<Remembered, 'again'> | 'over'

export interface RememberingParts {
  readonly log: Pick<JobLog, 'remember'>
  readonly ref: WorkerRef
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: Pick<Settings, 'batchItems' | 'batchBytes'>
}

/** A step that has returned, and whether its run has ended. */
export interface Returned {
  readonly step: NewStep
  readonly isOver: () => boolean
}

const retryMinMs = 50
const retryMaxMs = 5_000
/** How long a step waits for a row that is locked before it is offered again. */
const againMinMs = 5
const againMaxMs = 100

/**
 * Keeps what steps returned: those of all jobs of this process in one statement. A step is offered until the log has answered it
 * or its run has ended, so a log that is away for a while repeats no effect.
 */
export class Remembering {
  readonly #parts: RememberingParts
  readonly #batcher: Batcher<Returned, Kept>

  constructor(parts: RememberingParts) {
    this.#parts = parts
    this.#batcher = batcher({
      run: async (items) => {
        const answers = await this.#untilAnswered(items)
        return answers.map((answer, index) => (answer === 'again' ? this.#again(items[index]!) : answer))
      },
      maxItems: parts.settings.batchItems,
      maxWeight: parts.settings.batchBytes,
      weigh: ({ step }) => 200 + (step.result?.text.length ?? 0),
    })
  }

  /** Rejects only if the log refuses the step itself. */
  keep(returned: Returned): Promise<Kept> {
    return this.#batcher.add(returned)
  }

  async #untilAnswered(
    items: readonly Returned[],
  ): Promise<readonly (Remembered | 'over' | Promise<Kept>)[]> {
    const { log, ref, clock, logger } = this.#parts
    for (let failures = 1; ; failures += 1) {
      const open = items.filter(({ isOver }) => !isOver())
      if (open.length === 0) return items.map(() => 'over')
      try {
        const answers = await log.remember(
          open.map(({ step }) => step),
          ref,
        )
        return items.map((item) => answers[open.indexOf(item)] ?? 'over')
      } catch (error) {
        if (!isErrandError(error, 'E_LOG_UNREACHABLE')) {
          if (items.length === 1) throw error
          // One of them may be at fault. The others are not to fail with it.
          return items.map((item) => this.#alone(item))
        }
        const waitMs = Math.round(backoffMs(failures, retryMinMs, retryMaxMs))
        logger.warn(
          { err: error, count: open.length, failures, waitMs },
          'the log did not keep steps; they are offered again',
        )
        await clock.sleep(waitMs)
      }
    }
  }

  async #alone(item: Returned): Promise<Kept> {
    const [answer] = await this.#untilAnswered([item])
    return answer === 'again' ? this.#again(item) : ((await answer) ?? 'over')
  }

  /** Its row is locked: the others of the batch do not wait for that. */
  async #again(item: Returned): Promise<Kept> {
    const { clock } = this.#parts
    for (let tries = 1; ; tries += 1) {
      await clock.sleep(Math.round(backoffMs(tries, againMinMs, againMaxMs)))
      const [answer] = await this.#untilAnswered([item])
      if (answer !== 'again') return (await answer) ?? 'over'
    }
  }
}
