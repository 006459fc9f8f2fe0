import type { Terminal } from './terminal.ts'

export interface Progress {
  /** Adds to the number of those that are done. */
  add(count: number): void
  /** Removes the line. */
  end(): void
}

const redrawMs = 100

export interface StatusLine {
  show(text: string): void
  /** Removes the line. */
  end(): void
}

/** One line on stderr that says what a long command waits for. Nothing without a terminal. */
export function statusLine(terminal: Terminal): StatusLine {
  if (!terminal.watched) return { show: () => {}, end: () => {} }
  return {
    show: (text) => void process.stderr.write(`\r\u001b[2K${text}`),
    end: () => void process.stderr.write('\r\u001b[2K'),
  }
}

/** One line on stderr that says how far a long command is. Nothing without a terminal. */
export function progress(terminal: Terminal, verb: string, total?: number): Progress {
  if (!terminal.watched) return { add: () => {}, end: () => {} }
  const began = performance.now()
  let done = 0
  let drawn = 0
  return {
    add(count) {
      done += count
      const now = performance.now()
      if (now - drawn < redrawMs) return
      drawn = now
      const rate = Math.round(done / Math.max((now - began) / 1_000, 0.001))
      const of = total === undefined ? '' : ` of ${total.toLocaleString('en')}`
      process.stderr.write(
        `\r\u001b[2K${verb} ${done.toLocaleString('en')}${of} · ${rate.toLocaleString('en')}/s`,
      )
    },
    end() {
      if (drawn > 0) process.stderr.write('\r\u001b[2K')
    },
  }
}
