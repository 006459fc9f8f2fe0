import type { Worker } from '@errand/core'
import type { Paint } from '../../output/paint.ts'
import { truncate } from '../../output/text.ts'
import { spanText } from '../../output/times.ts'

/**
 * The last line of a worker's terminal: whether it takes jobs, how many run, how many are done. Other lines are written
 * above it, those of handlers and hooks (`console.log`) too.
 */
export class StatusLine {
  readonly #worker: Worker
  readonly #paint: Paint
  readonly #out: NodeJS.WriteStream
  readonly #began = Date.now()
  readonly #timer: NodeJS.Timeout
  readonly #unwatch: readonly (() => void)[]
  #shown = false
  /** This class itself writes. */
  #writing = false
  /** The text of somebody else has not ended its line yet: there is no room for this one. */
  #unfinished = false
  #drawSoon: NodeJS.Immediate | undefined

  /** @param streams of one terminal; the line is written to the last one. */
  constructor(
    worker: Worker,
    paint: Paint,
    streams: readonly [...NodeJS.WriteStream[], NodeJS.WriteStream] = [process.stdout, process.stderr],
  ) {
    this.#worker = worker
    this.#paint = paint
    this.#out = streams.at(-1)!
    this.#unwatch = streams.map((stream) => this.#watch(stream))
    this.#timer = setInterval(() => this.#draw(), 1_000)
    this.#timer.unref()
    this.#draw()
  }

  /** Writes a line above it. */
  write(line: string): void {
    this.#clear()
    this.#put(`${this.#unfinished ? '\n' : ''}${line}\n`)
    this.#unfinished = false
    this.#draw()
  }

  end(): void {
    clearInterval(this.#timer)
    clearImmediate(this.#drawSoon)
    this.#clear()
    for (const unwatch of this.#unwatch) unwatch()
    if (this.#unfinished) this.#put('\n')
  }

  /** Makes room for what others write to the stream. Returns what ends that. */
  #watch(stream: NodeJS.WriteStream): () => void {
    // A property of the stream's own, if somebody has replaced `write` before.
    const before = Object.getOwnPropertyDescriptor(stream, 'write')
    const write = stream.write.bind(stream)
    const watched = (...args: Parameters<typeof write>): boolean => {
      if (!this.#writing) this.#makeRoom(args[0])
      return write(...args)
    }
    Object.defineProperty(stream, 'write', { configurable: true, writable: true, value: watched })
    return () => {
      // What was replaced after this stays.
      if (Object.getOwnPropertyDescriptor(stream, 'write')?.value !== watched) return
      if (before) Object.defineProperty(stream, 'write', before)
      else Reflect.deleteProperty(stream, 'write')
    }
  }

  #makeRoom(chunk: unknown): void {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString()
    if (text === '') return
    this.#clear()
    this.#unfinished = !text.endsWith('\n')
    // After the text, and once for many.
    this.#drawSoon ??= setImmediate(() => this.#draw())
  }

  #clear(): void {
    if (this.#shown) this.#put('\r\u001b[2K')
    this.#shown = false
  }

  #draw(): void {
    clearImmediate(this.#drawSoon)
    this.#drawSoon = undefined
    if (this.#unfinished) return
    this.#clear()
    const { state, good, rest } = readHealth(this.#worker, Date.now() - this.#began)
    // One row only: a line that wraps could not be cleared.
    const line = truncate(`${state} · ${rest}`, (this.#out.columns || 80) - 1)
    const painted = line.startsWith(state)
      ? this.#paint(good ? 'good' : 'warn', state) + line.slice(state.length)
      : line
    this.#put(painted)
    this.#shown = true
  }

  #put(text: string): void {
    this.#writing = true
    try {
      this.#out.write(text)
    } finally {
      this.#writing = false
    }
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
