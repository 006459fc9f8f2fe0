import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Middleware } from 'errand'
import { Unusable } from './unusable.ts'

/**
 * The handlers' own record: a file that every worker process appends to, and that Errand does not know.
 * Each line is one write to a file opened with O_APPEND. So the lines of all processes are in the order in
 * which they happened, whatever their clocks say.
 */
export interface LedgerLine {
  readonly mark: 'began' | 'ended' | 'threw'
  readonly jobId: string
  readonly run: number
  readonly pid: number
  /** Milliseconds since the epoch, by the worker's clock: for people, not for the audit. */
  readonly at: number
  readonly key: string | null
}

/** Middleware around every handler of a worker. */
export function ledger(path: string): Middleware {
  const file = openSync(path, 'a')
  process.once('exit', () => closeSync(file))

  return async (ctx, next) => {
    const { id, orderingKey } = ctx.job
    const say = (mark: LedgerLine['mark']): void => {
      const line = {
        mark,
        jobId: id,
        run: ctx.run,
        pid: process.pid,
        at: Date.now(),
        key: orderingKey ?? null,
      }
      writeSync(file, `${JSON.stringify(line satisfies LedgerLine)}\n`)
    }
    say('began')
    let mark: LedgerLine['mark'] = 'threw'
    try {
      const result = await next()
      mark = 'ended'
      return result
    } finally {
      say(mark)
    }
  }
}

/** The lines, in the order in which they were written; one that cannot be read is an error that names it. */
export function readLedger(path: string): LedgerLine[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  // Each line is one write, so a killed worker leaves no half line: the text ends with the end of a line.
  const rest = lines.pop()
  if (rest !== '') throw new Unusable(`${path} ends in the middle of a line: ${rest}`)
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as LedgerLine
    } catch (cause) {
      throw new Unusable(`${path}:${index + 1} cannot be read: ${line}`, { cause })
    }
  })
}
