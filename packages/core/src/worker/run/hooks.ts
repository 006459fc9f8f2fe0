import { workerDefaults } from '../../config/defaults.ts'
import type { ResolvedHandler } from '../../define/handler.ts'
import type { AttemptInfo, Ended, FailedInfo, Hooks } from '../../define/hooks.ts'
import { ErrandError } from '../../errors.ts'
import { inTime } from '../../in-time.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'

/** Calls the user's hooks and awaits them, each with a deadline. Only `before` may change what happens. */
export class HookRunner {
  readonly #hooks: Hooks
  readonly #clock: Clock
  readonly #logger: Logger

  constructor(hooks: Hooks, clock: Clock, logger: Logger) {
    this.#hooks = hooks
    this.#clock = clock
    this.#logger = logger
  }

  /** Whether a run's start calls a hook of the worker. */
  get precedesRuns(): boolean {
    return this.#hooks.before !== undefined
  }

  /** Whether a run's end calls a hook of the worker, so that its slot must wait for that. */
  get followsRuns(): boolean {
    return this.#hooks.after !== undefined
  }

  /** @throws what the hook throws, and `E_HOOK_TIMEOUT`. */
  async before(attempt: AttemptInfo): Promise<void> {
    const { before } = this.#hooks
    if (before) await this.#inTime('before', () => before(attempt))
  }

  async after(ended: AttemptInfo & Ended): Promise<void> {
    const { after } = this.#hooks
    if (after) await this.#quietly('after', ended.job.id, () => after(ended))
  }

  /** The worker's `failing`, then the handler's own `failed`, if the payload could be read. */
  async failing(
    info: FailedInfo,
    handler: ResolvedHandler | undefined,
    parsed: { readonly payload: unknown } | undefined,
  ): Promise<void> {
    const { failing } = this.#hooks
    if (failing) await this.#quietly('failing', info.job.id, () => failing(info))
    const failed = handler?.failed
    if (failed && parsed) {
      await this.#quietly('failed', info.job.id, () => failed(parsed.payload, info.error, info.job))
    }
  }

  /** False: skip this pass. */
  async looping(loop: { readonly worker: string; readonly free: number }): Promise<boolean> {
    const { looping } = this.#hooks
    if (!looping) return true
    let pass = true
    await this.#quietly('looping', undefined, async () => {
      pass = (await looping(loop)) !== false
    })
    return pass
  }

  async #quietly(hook: string, job: string | undefined, call: () => unknown): Promise<void> {
    try {
      await this.#inTime(hook, call)
    } catch (error) {
      this.#logger.error({ err: error, job }, `the hook '${hook}' threw; nothing else changes`)
    }
  }

  async #inTime(hook: string, call: () => unknown): Promise<void> {
    const { hookDeadlineMs } = workerDefaults
    await inTime((async () => await call())(), hookDeadlineMs, this.#clock, () => {
      throw new ErrandError('E_HOOK_TIMEOUT', `the hook '${hook}' took longer than ${hookDeadlineMs} ms`)
    })
  }
}
