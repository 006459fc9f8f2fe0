/**
 * A promise that notices when somebody waits for it: when its `then` is called, as `await` and `Promise.all` do. What is
 * derived from it is a plain promise.
 */
export class Awaitable<T> extends Promise<T> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** Called the first time. */
  onAwaited: (() => void) | undefined

  // oxlint-disable-next-line unicorn/no-thenable -- a promise has one; this is how it notices that it is awaited
  override then<A = T, B = never>(
    kept?: ((value: T) => A | PromiseLike<A>) | null,
    refused?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const { onAwaited } = this
    this.onAwaited = undefined
    onAwaited?.()
    return super.then(kept, refused)
  }
}

/** What a call of code that was left behind gets: it does not settle, so nothing that follows it runs. */
export const never: Promise<never> = new Promise(() => undefined)
