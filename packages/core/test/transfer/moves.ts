import { expect } from 'vitest'
import { job } from './rig.ts'
import type { Process, Rig } from './rig.ts'

export const a = 'broker://a'
export const b = 'broker://b'
export const c = 'broker://c'
export const by = 'mia'

export const sortIds = (...ids: readonly (string | undefined)[]): string[] => ids.map(String).toSorted()

export async function dispatchJobs(
  on: Rig,
  { errand }: Process,
  count: number,
  jobs: readonly (typeof job)[] = [job],
): Promise<string[]> {
  const requests = Array.from({ length: count }, (_, n) => jobs[n % jobs.length]!.with(n))
  const receipts = await on.passing(errand.dispatchMany(requests))
  return receipts.map(({ id }) => id)
}

async function isSettled(on: Rig): Promise<boolean> {
  return (await on.log.queues()).every(({ ready, running, scheduled }) => ready + running + scheduled === 0)
}

export async function waitUntilSettled(on: Rig): Promise<void> {
  for (let seconds = 0; seconds < 120 && !(await isSettled(on)); seconds += 1) await on.advance(1_000)
  expect(await isSettled(on)).toBe(true)
}

export async function listDrivers(on: Rig): Promise<readonly (readonly string[])[]> {
  return (await on.log.workers()).filter(({ alive }) => alive).map((worker) => worker.drivers)
}
