/** Promises of the public API that are pending, in this process. */
let pending = 0
/** Both ends are kept: a port whose other end is collected closes. */
let channel: InstanceType<typeof MessageChannel> | undefined

/**
 * Keeps the process alive until `letGo` is called as often. Sockets and timers of Errand's do not: which of them are there
 * at a moment is a matter of drivers and chance, and a process that awaits an answer would end without one. A port of
 * Node's is a handle without a timer, and (un)referencing it costs nothing that could be measured beside a dispatch.
 */
function hold(): void {
  pending += 1
  if (pending > 1) return
  channel ??= new MessageChannel()
  channel.port1.ref()
}

function letGo(): void {
  pending -= 1
  if (pending === 0) channel?.port1.unref()
}

/** For what has no answer that a caller could await: the process lives until it is over, and how it ends is not told. */
export function holdUntil(over: Promise<unknown>): void {
  hold()
  over.then(letGo, letGo)
}

/** The same promise, as far as its caller can see, and the process lives until it is settled. */
function held<T>(promise: Promise<T>): Promise<T> {
  hold()
  return promise.then(letGoWith, letGoAndThrow)
}

function letGoWith<T>(value: T): T {
  letGo()
  return value
}

function letGoAndThrow(error: unknown): never {
  letGo()
  throw error
}

/**
 * The same API, with the one rule of all its promises: the process lives until each is settled, and each step of an
 * iteration is such a promise. Put around whole objects, so that no function can be forgotten.
 */
export function holding<A extends object>(api: A): A {
  const kept: Record<PropertyKey, unknown> = {}
  for (const key of Reflect.ownKeys(api)) {
    const value: unknown = Reflect.get(api, key)
    kept[key] =
      typeof value === 'function'
        ? (...given: unknown[]) => heldAnswer(Reflect.apply(value, api, given))
        : value
  }
  return kept as A
}

function heldAnswer(answer: unknown): unknown {
  if (answer instanceof Promise) return held(answer)
  return isIterable(answer) ? heldSteps(answer) : answer
}

function isIterable(answer: unknown): answer is AsyncIterable<unknown> {
  return typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer
}

function heldSteps(iterable: AsyncIterable<unknown>): AsyncIterable<unknown> {
  const steps: AsyncIterable<unknown> = {
    [Symbol.asyncIterator]() {
      const iterator = iterable[Symbol.asyncIterator]()
      return {
        next: () => held(iterator.next()),
        return: (value) => held(iterator.return?.(value) ?? Promise.resolve({ done: true, value })),
      }
    },
  }
  if (!('then' in iterable)) return steps
  // It may be awaited as well.
  const whole = iterable as unknown as PromiseLike<unknown>
  const then: PromiseLike<unknown>['then'] = (...given) => held(Promise.resolve(whole)).then(...given)
  // oxlint-disable-next-line unicorn/no-thenable -- as the one that it stands for
  return Object.assign(steps, { then })
}
