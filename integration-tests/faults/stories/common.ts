import { expect } from 'vitest'
import { until } from '@errand/testkit'
import { pause } from '../../fleet/looks.ts'
import type { Finally } from '../../fleet/scene.ts'
import { present } from '../makers.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import type { Member } from '../../fleet/member.ts'

let gates = 0

/** A name that nobody has used, for a gate or a queue. */
export function newName(what: string): string {
  return `${what}-${(gates += 1)}`
}

/** Starts one more worker, which dies as soon as it reaches a line of the code. */
export async function diesAt(
  fleet: Fleet,
  failpoint: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly id: string; readonly atMs: number }> {
  const worker = await fleet.start({ env: { ...env, ERRAND_FAILPOINT: failpoint }, expects: ['SIGKILL'] })
  expect(await worker.exited, worker.output()).toBe('SIGKILL')
  return { id: worker.id, atMs: performance.now() }
}

export async function readTypes({ log }: Fleet, id: string): Promise<readonly string[]> {
  return (await log.readHistory(id)).map(({ type }) => type)
}

/** Expects these types of events of the job, and no others. A failure shows the whole events. */
export async function expectTypes(fleet: Fleet, id: string, types: readonly string[]): Promise<void> {
  const events = await fleet.log.readHistory(id)
  const told = events.map((event) => JSON.stringify(event)).join('\n')
  expect(
    events.map(({ type }) => type),
    `the events of ${id}:\n${told}\n`,
  ).toEqual(types)
}

/** Waits until the job's handler has begun this many times. */
export async function hasBegun(fleet: Fleet, id: string, times = 1): Promise<void> {
  const began = (): number =>
    fleet.ledgerLines().filter(({ jobId, mark }) => jobId === id && mark === 'began').length
  try {
    await until(() => began() >= times, { withinMs: 20_000, pause })
  } catch {
    const workers = (await fleet.errand.workers.list()).map(
      ({ id: worker, queues, taking, why, alive }) =>
        `${worker} ${queues.join()} ${alive ? '' : 'dead '}${taking ? 'takes' : why}`,
    )
    const events = await readTypes(fleet, id)
    throw new Error(`job ${id} has not begun: ${events.join(', ')}; workers:\n${workers.join('\n')}`)
  }
}

/** Waits until one of the four workers runs the job, and returns it. */
export async function findRunner(fleet: Fleet, id: string): Promise<Member> {
  await hasBegun(fleet, id)
  const worker = (await fleet.log.get(id))?.worker
  return present(fleet.workers.find((each) => each.id === worker))
}

/** True if each of these jobs was started again or has ended, and the worker has none left. */
export async function ranAgain(fleet: Fleet, ids: readonly string[], dead: string): Promise<boolean> {
  const jobs = await Promise.all(ids.map((id) => fleet.log.get(id)))
  const moved = jobs.every((job) => job?.finishedAt !== undefined || (job?.run ?? 0) > 1)
  return moved && (await fleet.heldBy(dead)).length === 0
}

/** What a worker says of itself. */
export async function isTaking({ errand }: Fleet, worker: string): Promise<boolean> {
  return (await errand.workers.list()).some(({ id, taking, alive }) => id === worker && taking && alive)
}

/** Runs the act, and afterwards everything that the act has registered, the last first. */
export async function withEnd(act: (atTheEnd: Finally) => Promise<void>): Promise<void> {
  const acts: Parameters<Finally>[0][] = []
  try {
    await act((each) => void acts.push(each))
  } finally {
    for (const each of acts.toReversed()) await each()
  }
}
