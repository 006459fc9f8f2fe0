import { crypto } from '../crypto.ts'
import { idOfMoment } from '../ids.ts'

/**
 * The id of a tick's job. It follows from the schedule and the tick's moment, so that a tick which is dispatched twice is stored once.
 * @param uid of the schedule
 * @param atMs the moment of the tick, whatever its jitter: milliseconds since the epoch
 */
export function makeTickId(uid: string, atMs: number): string {
  return idOfMoment(atMs, digest('tick', uid, atMs))
}

/** The id of the job of an operator's trigger: the n-th of the schedule, at the moment of the newest one. */
export function makeTriggerId(uid: string, atMs: number, n: number): string {
  return idOfMoment(atMs, digest(`trigger ${n}`, uid, atMs))
}

/** How much later than its moment a tick runs: from 0 up to `jitterMs`, without it. The same in every process. */
export function findJitter(uid: string, atMs: number, jitterMs: number): number {
  return jitterMs === 0 ? 0 : digest('jitter', uid, atMs).readUIntBE(0, 6) % jitterMs
}

function digest(what: string, uid: string, atMs: number): Buffer {
  return crypto().createHash('sha256').update(`${what} ${uid} ${atMs}`).digest()
}
