/**
 * Memory that the main thread and the heartbeat thread share, so that each can read the other's state while the other
 * is busy. Moments are nanoseconds of `process.hrtime`, the same clock in every thread of a process (`performance.now`
 * counts from each thread's own start).
 */
export class HeartbeatMemory {
  readonly buffer: SharedArrayBuffer
  readonly #cells: BigInt64Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer
    this.#cells = new BigInt64Array(buffer)
  }

  /** When the main thread's event loop last turned. */
  get tick(): bigint {
    return Atomics.load(this.#cells, 0)
  }
  set tick(at: bigint) {
    Atomics.store(this.#cells, 0, at)
  }

  /** Until when a run may block the main thread: the latest deadline of the running ones. */
  get deadline(): bigint {
    return Atomics.load(this.#cells, 1)
  }
  set deadline(at: bigint) {
    Atomics.store(this.#cells, 1, at)
  }

  /** Until when the lease holds, counted from the sending of the last answered beat. */
  get leaseUntil(): bigint {
    return Atomics.load(this.#cells, 2)
  }
  set leaseUntil(at: bigint) {
    Atomics.store(this.#cells, 2, at)
  }
}

export const noDeadline: bigint = 2n ** 63n - 1n

export function hrNow(): bigint {
  return process.hrtime.bigint()
}

export function msToNs(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6))
}

export function nsToMs(ns: bigint): number {
  return Number(ns) / 1e6
}
