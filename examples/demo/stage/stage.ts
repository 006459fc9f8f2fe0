import { board } from './board.ts'
import type { View } from './board.ts'
import { Screen } from './screen.ts'
import type { Line } from './story.ts'
import { paint, seconds } from './style.ts'
import type { Tally } from './tally.ts'

/** The output of the show. */
export interface Stage {
  /** Called ten times a second, and once at the end. */
  refresh(view: View): void
  tell(line: Line): void
  close(): void
}

const smallest = { columns: 72, rows: 24 }

/** A board that is drawn in place, if the terminal is large enough; else lines, as for a pipe. */
export function stageFor(out: NodeJS.WriteStream): Stage {
  const large = out.columns >= smallest.columns && out.rows >= smallest.rows
  return out.isTTY && large && process.env['TERM'] !== 'dumb' ? boardOn(out) : linesOn(out)
}

function boardOn(out: NodeJS.WriteStream): Stage {
  const screen = new Screen(out)
  return {
    refresh: (view) => screen.draw(board(view, out.columns)),
    tell: () => {},
    close: () => screen.close(),
  }
}

function linesOn(out: NodeJS.WritableStream): Stage {
  const print = (at: number, text: string): void => void out.write(`${seconds(at).padStart(8)}  ${text}\n`)
  let told = 0
  return {
    tell: ({ at, text, tone }) => print(at, tone === undefined ? text : paint(tone, text)),
    refresh({ tally, total, elapsed, now }) {
      const tenths = Math.floor((tally.done * 10) / Math.max(1, total))
      if (tenths <= told) return
      told = tenths
      print(elapsed, progress(tally, total, now))
    },
    close() {},
  }
}

function progress(tally: Tally, total: number, now: number): string {
  const waiting = Object.entries(tally.lanes).flatMap(([lane, count]) =>
    count.waiting > 0 ? [`${lane} ${count.waiting}`] : [],
  )
  const parts = [
    `${tally.done} of ${total} done`,
    `${tally.running.size} running`,
    waiting.length > 0 ? `waiting: ${waiting.join(', ')}` : 'none waiting',
    `${Math.round(tally.throughput(now, 2000))} jobs/s`,
  ]
  return parts.join(' · ')
}
