import { setTimeout as sleep } from 'node:timers/promises'
import type { Errand, Worker } from '@errand/core'
import type { DrainState } from './drain-state.ts'

/** When a worker ends by itself. A supervisor starts it again, or the deployment wants no more of it. */
export interface Limits {
  readonly maxTimeMs?: number | undefined
  readonly maxRssBytes?: number | undefined
  /** No job that it may take is ready, and none runs. Jobs that are due later do not count. */
  readonly stopWhenEmpty?: boolean | undefined
}

const everyMs = 200

/**
 * Watches the limits until one is reached and all running jobs have ended by themselves, however long they take: the
 * grace is for a shutdown on request. Resolves with the reason, or with undefined if the signal aborts.
 */
export async function limitReached(
  worker: Worker,
  errand: Errand,
  drain: DrainState,
  limits: Limits & { readonly queues?: readonly string[] | undefined },
  signal: AbortSignal,
): Promise<string | undefined> {
  const began = performance.now()
  let reason: string | undefined
  while (!signal.aborted) {
    reason ??= findReachedLimit(limits, performance.now() - began)
    if (reason !== undefined) drain.draining = true
    const idle = hasNothing(worker)
    if (reason !== undefined && idle) return reason
    if (limits.stopWhenEmpty && idle && (await isEmpty(errand, limits.queues ?? drain.queues))) {
      // The worker may have taken a job while the log was asked.
      if (hasNothing(worker)) return 'nothing is ready'
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {})
  }
  return undefined
}

function hasNothing(worker: Worker): boolean {
  const { running, prefetched } = worker.health()
  return running + prefetched === 0
}

function findReachedLimit(limits: Limits, elapsedMs: number): string | undefined {
  if (elapsedMs >= (limits.maxTimeMs ?? Number.POSITIVE_INFINITY)) return 'its time is over'
  const rss = limits.maxRssBytes === undefined ? 0 : process.memoryUsage.rss()
  if (limits.maxRssBytes !== undefined && rss >= limits.maxRssBytes)
    return `it uses ${Math.round(rss / 1_048_576)} MB`
  return undefined
}

/** A paused queue gives no jobs, so its ready jobs must not keep the worker waiting. */
async function isEmpty(errand: Errand, mine: readonly string[]): Promise<boolean> {
  const queues = await errand.queues.list()
  return !queues.some((queue) => mine.includes(queue.name) && !queue.paused && (queue.ready ?? 0) > 0)
}
