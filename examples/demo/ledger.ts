import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Middleware } from 'errand'

/**
 * What the handlers say for themselves: a file that every worker process appends to, and that Errand knows nothing of.
 * Each line is one write to a file opened with O_APPEND, so that the lines of all processes stand in the order in
 * which they happened, whatever the clocks say.
 */
export interface LedgerLine {
  readonly event: 'start' | 'end'
  readonly job: string
  readonly run: number
  readonly pid: number
  /** Milliseconds since the epoch, by the worker's clock: for people, not for the audit. */
  readonly at: number
  readonly key: string | null
  /** `end` only: whether the handler returned, rather than threw. */
  readonly ok?: boolean
}

/** Around every handler of a worker. */
export function ledger(path: string): Middleware {
  const file = openSync(path, 'a')
  process.once('exit', () => closeSync(file))
  const append = (line: LedgerLine): void => void writeSync(file, `${JSON.stringify(line)}\n`)

  return async (ctx, next) => {
    const about = { job: ctx.job.id, run: ctx.run, pid: process.pid, key: ctx.job.orderingKey ?? null }
    append({ event: 'start', ...about, at: Date.now() })
    let ok = false
    try {
      const result = await next()
      ok = true
      return result
    } finally {
      append({ event: 'end', ...about, at: Date.now(), ok })
    }
  }
}

/** The lines, in the order in which they were written; one that cannot be read is an error that names it. */
export function readLedger(path: string): LedgerLine[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  const last = lines.pop()
  if (last !== '' && last !== undefined) throw new Error(`${path}: the last line has no end: ${last}`)
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as LedgerLine
    } catch (cause) {
      throw new Error(`${path}:${index + 1} cannot be read: ${line}`, { cause })
    }
  })
}
