import { claimLostError, ErrandError } from '../../errors.ts'
import type { NewWait } from '../../job/memory.ts'
import type { Logger } from '../../logging.ts'
import { checkStepName } from '../../names.ts'
import { Awaitable } from './awaitable.ts'
import { stepScope } from './scope.ts'
import { Suspension } from './suspension.ts'
import type { Quiet } from './suspension.ts'

/** A wait that has begun and is not over. */
export interface Wait {
  readonly name: string
  /** As the log keeps it, from now on. */
  readonly describe: () => NewWait
}

/** The run whose handler it is. */
export interface FrameRun {
  readonly log: Logger
  /** Its handler waits, and is left behind. */
  suspend(waits: readonly NewWait[]): void
  /** Its handler cannot go on here, and is left behind: another worker is to run it. */
  park(error: ErrandError): void
  /** Its claim is gone, and its handler is left behind. */
  drop(error: Error): void
}

export interface FrameParts {
  readonly run: FrameRun
  readonly quiet: Quiet
  readonly stopping: AbortSignal
}

/** What a call has come to that has begun a wait: it settles in a later run. */
export const isWaiting: unique symbol = Symbol('errand.waiting')

/** A call of the handler that has not settled. */
export interface OpenCall {
  isAwaited: boolean
  /** Called when the handler begins to wait for it. */
  onAwaited?: () => void
}

/**
 * The calls of a handler to its steps and waits, in one run. None of them settles once the handler is left behind, because it
 * waits or its claim is gone: nothing is thrown, so no `catch` and no `finally` around them runs.
 */
export class Frame {
  readonly suspension: Suspension<Wait>
  readonly #parts: FrameParts
  /** Names that this run has used: calls that are under way, and what is kept. */
  readonly #names = new Map<string, OpenCall | 'kept'>()
  #closed: 'over' | 'left' | Error | undefined
  readonly #hurry = (): void => this.suspension.hurry()

  constructor(parts: FrameParts) {
    const { run, quiet, stopping } = parts
    this.#parts = parts
    this.suspension = new Suspension({
      quiet,
      suspend: (waits) => {
        this.#close('left')
        run.suspend(waits.map((wait) => wait.describe()))
      },
    })
    if (stopping.aborted) this.suspension.hurry()
    else stopping.addEventListener('abort', this.#hurry, { once: true })
  }

  /** What the handler does from now on no longer counts. */
  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /** The claim is gone. A handler that only waits would never end. */
  lost(error: Error): void {
    if (this.#closed !== undefined) return
    this.#close(error)
    if (this.suspension.onlyWaits) this.#parts.run.drop(error)
  }

  park(error: ErrandError): void {
    if (this.#closed !== undefined) return
    this.#close('left')
    this.#parts.run.park(error)
  }

  /** The run has ended. @param returned its handler has returned: what it did not wait for is lost. */
  end(returned: boolean): void {
    if (this.#closed !== undefined) return
    this.#close('over')
    const forgotten = [...this.#names].filter(([, state]) => state !== 'kept' && !state.isAwaited)
    if (!returned || forgotten.length === 0) return
    this.#parts.run.log.warn(
      { names: forgotten.map(([name]) => name) },
      'a handler returned before steps or waits that it did not await had ended, and the log keeps none of them; write await before ctx.step, ctx.sleep, ctx.receive and ctx.call',
    )
  }

  /**
   * One call, from its checks to its end.
   * @param work resolves with its value. With `isWaiting` it settles only by `fail`.
   * @param inside a transaction. Such a call rejects if the run is over: one that waits for ever would keep its locks. It
   * may be repeated.
   */
  begin<T>(
    name: string,
    work: (open: OpenCall, fail: (error: unknown) => void) => Promise<T | typeof isWaiting>,
    inside = false,
  ): Awaitable<T> {
    const open: OpenCall = { isAwaited: false }
    const { suspension } = this
    const call = new Awaitable<T>((resolve, reject) => {
      if (this.#closed !== undefined) {
        if (inside) reject(claimLostError(`the run of ctx.step('${name}', …, { tx }) is over`))
        this.#left()
        return
      }
      try {
        this.#checkName(name, inside)
      } catch (error) {
        reject(error)
        return
      }
      this.#names.set(name, open)
      suspension.begin()
      const settle = (state: 'kept' | undefined, how: () => void): void => {
        if (this.#closed !== undefined && !inside) return this.#left()
        if (state) this.#names.set(name, state)
        else this.#names.delete(name)
        how()
      }
      const fail = (error: unknown): void => settle(undefined, () => reject(error))
      const run = async (): Promise<void> => {
        try {
          const value = await work(open, fail)
          if (value !== isWaiting) settle(inside ? undefined : 'kept', () => resolve(value))
        } catch (error) {
          fail(error)
        }
        suspension.end()
      }
      void run()
    })
    call.onAwaited = () => {
      open.isAwaited = true
      open.onAwaited?.()
    }
    return call
  }

  #close(why: 'over' | 'left' | Error): void {
    this.#closed = why
    this.suspension.close()
    this.#parts.stopping.removeEventListener('abort', this.#hurry)
  }

  #left(): void {
    if (this.#closed instanceof Error) this.#parts.run.drop(this.#closed)
  }

  /** @throws `E_STEP_NAME`, `E_STEP_NESTED` */
  #checkName(name: string, inside: boolean): void {
    checkStepName(name)
    if (stepScope.getStore() === this) {
      throw new ErrandError(
        'E_STEP_NESTED',
        `'${name}' was begun inside a step; a step is done or not as a whole: begin it before or after that step`,
      )
    }
    const state = this.#names.get(name)
    if (state === undefined || (state === 'kept' && inside)) return
    throw new ErrandError(
      'E_STEP_NAME',
      `this run has two steps or waits with the name '${name}', and a later run could not tell them apart; in a loop, put the item into the name`,
    )
  }
}
