import type { Worker } from '@errand/core'
import type { Paint } from '../../output/paint.ts'
import { truncate } from '../../output/text.ts'
import { spanText } from '../../output/times.ts'

/**
 * The last line of a worker's terminal: whether it takes jobs, how many run, how many are done. Other lines are written
 * above it.
 */
export class StatusLine {
  readonly #worker: Worker
  readonly #paint: Paint
  readonly #began = Date.now()
  readonly #timer: NodeJS.Timeout
  #shown = false

  constructor(worker: Worker, paint: Paint) {
    this.#worker = worker
    this.#paint = paint
    this.#timer = setInterval(() => this.#draw(), 1_000)
    this.#timer.unref()
    this.#draw()
  }

  /** Writes a line above it. */
  write(line: string): void {
    this.#clear()
    process.stderr.write(`${line}\n`)
    this.#draw()
  }

  end(): void {
    clearInterval(this.#timer)
    this.#clear()
  }

  #clear(): void {
    if (this.#shown) process.stderr.write('\r\u001b[2K')
    this.#shown = false
  }

  #draw(): void {
    this.#clear()
    const { state, good, rest } = readHealth(this.#worker, Date.now() - this.#began)
    // One row only: a line that wraps could not be cleared.
    const line = truncate(`${state} · ${rest}`, (process.stderr.columns || 80) - 1)
    const painted = line.startsWith(state)
      ? this.#paint(good ? 'good' : 'warn', state) + line.slice(state.length)
      : line
    process.stderr.write(painted)
    this.#shown = true
  }
}

export interface Health {
  /** `taking`, or `not taking: ` and why. */
  readonly state: string
  readonly good: boolean
  /** `3 running · 120 succeeded · 1 failed · 84 MB · up 3m 20s` */
  readonly rest: string
}

export function readHealth(worker: Worker, upMs: number): Health {
  const { taking, why, running, prefetched, broker, ...health } = worker.health()
  const ended = Object.entries(health.ended)
    .filter(([outcome, count]) => count > 0 || outcome === 'succeeded')
    .map(([outcome, count]) => `${count} ${outcome}`)
  const memory = `${Math.round(process.memoryUsage.rss() / 1_048_576)} MB`
  return {
    state: taking ? 'taking' : `not taking${why ? `: ${why}` : ''}`,
    good: taking,
    rest: [
      `${running} running`,
      ...(prefetched > 0 ? [`${prefetched} prefetched`] : []),
      ...ended,
      ...(broker === undefined ? [] : ['the broker takes no tickets']),
      memory,
      `up ${spanText(upMs)}`,
    ].join(' · '),
  }
}
