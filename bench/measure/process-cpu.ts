import { readdirSync, readFileSync } from 'node:fs'

/** `USER_HZ`, the same on every Linux. */
const ticksPerSecond = 100

/**
 * Seconds of CPU that a process and its descendants have used so far, those that have ended included; from Linux's /proc.
 * A thread that is alone is counted to the nanosecond, others to 10 ms.
 */
export function readCpuSeconds(root: number): number {
  const { ownSeconds, endedSeconds } = readTimes(root)
  const living = listDescendants(root).map((pid) => {
    try {
      return readTimes(pid).ownSeconds
    } catch {
      // It has just ended, and its time is now its parent's.
      return 0
    }
  })
  return ownSeconds + endedSeconds + living.reduce((sum, seconds) => sum + seconds, 0)
}

/** Seconds of CPU of the children of a process that have ended. */
export function readEndedSeconds(pid: number): number {
  return readTimes(pid).endedSeconds
}

/** Whether this machine shows the CPU use of its processes. */
export function isCpuKnown(root: number): boolean {
  try {
    readCpuSeconds(root)
    return true
  } catch {
    return false
  }
}

function readTimes(pid: number): { readonly ownSeconds: number; readonly endedSeconds: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name in parentheses may have blanks. What follows begins with the third field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  const threads = field(20)
  const ticks = (field(14) + field(15)) / ticksPerSecond
  const exact =
    threads === 1 ? Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[0]) / 1e9 : 0
  return { ownSeconds: exact > 0 ? exact : ticks, endedSeconds: (field(16) + field(17)) / ticksPerSecond }
}

function listDescendants(root: number): number[] {
  const found: number[] = []
  const waiting = [root]
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const children = listChildren(pid)
    found.push(...children)
    waiting.push(...children)
  }
  return found
}

function listChildren(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
    )
  } catch {
    return []
  }
}
