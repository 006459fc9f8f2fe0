import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The most memory that a process may use. */
export const memoryLimitBytes: number = 400 * 1_048_576
export const sampleEveryMs = 2_000

/** Resident memory of one process, from its start on. */
export interface Samples {
  /** At even intervals. */
  readonly values: readonly number[]
  readonly maxBytes: number
}

const run = promisify(execFile)
const mostSamples = 1_024

/** Samples over any time in bounded space: if there are too many, it drops every second one, and takes fewer from then on. */
class Thinning implements Samples {
  values: number[] = []
  maxBytes = 0
  #every = 1
  #skipped = 0

  add(bytes: number): void {
    this.maxBytes = Math.max(this.maxBytes, bytes)
    this.#skipped += 1
    if (this.#skipped < this.#every) return
    this.#skipped = 0
    this.values.push(bytes)
    if (this.values.length < mostSamples) return
    this.values = this.values.filter((_, index) => index % 2 === 0)
    this.#every *= 2
  }
}

export interface MemoryWatch {
  of(pid: number): Samples
  /** The process has ended. */
  forget(pid: number): void
  stop(): void
}

/** Looks at the resident memory of processes, at even intervals. */
export function watchMemory(everyMs: number): MemoryWatch {
  const samplesOf = new Map<number, Thinning>()
  const look = async (): Promise<void> => {
    const pids = [...samplesOf.keys()]
    if (pids.length === 0) return
    // It fails if none of them runs, and leaves out those that do not run.
    const { stdout } = await run('ps', ['-o', 'pid=,rss=', '-p', pids.join(',')]).catch(() => ({
      stdout: '',
    }))
    for (const line of stdout.split('\n')) {
      const [pid = 0, kibibytes = 0] = line.trim().split(/\s+/).map(Number)
      if (kibibytes > 0) samplesOf.get(pid)?.add(kibibytes * 1_024)
    }
  }
  const timer = setInterval(() => void look(), everyMs)
  timer.unref()
  return {
    of(pid) {
      const samples = new Thinning()
      samplesOf.set(pid, samples)
      return samples
    },
    forget: (pid) => void samplesOf.delete(pid),
    stop: () => clearInterval(timer),
  }
}
