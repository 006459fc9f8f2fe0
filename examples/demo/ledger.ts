import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Context, Middleware } from 'errand'
import { Unusable } from './unusable.ts'

/**
 * The handlers' own record: a file that every worker process appends to, and that Errand does not know.
 * Each line is one write to a file opened with O_APPEND. So the lines of all processes are in the order in
 * which they happened, whatever their clocks say.
 */
export interface LedgerLine {
  /** `acted`: a step did to the outside what must not be done twice. */
  readonly mark: 'began' | 'ended' | 'threw' | 'acted'
  readonly jobId: string
  readonly run: number
  readonly pid: number
  /** Milliseconds since the epoch, by the worker's clock: for people, not for the audit. */
  readonly at: number
  readonly key: string | null
  /** The step that acted. */
  readonly step?: string
}

export interface Ledger {
  /** Around every handler of a worker. */
  readonly middleware: Middleware
  readonly acted: (ctx: Pick<Context, 'job' | 'run'>, step: string) => void
}

export function openLedger(path: string): Ledger {
  const file = openSync(path, 'a')
  process.once('exit', () => closeSync(file))

  const say = (ctx: Pick<Context, 'job' | 'run'>, what: Pick<LedgerLine, 'mark' | 'step'>): void => {
    const { id, orderingKey } = ctx.job
    const line = {
      ...what,
      jobId: id,
      run: ctx.run,
      pid: process.pid,
      at: Date.now(),
      key: orderingKey ?? null,
    }
    writeSync(file, `${JSON.stringify(line satisfies LedgerLine)}\n`)
  }
  return {
    acted: (ctx, step) => say(ctx, { mark: 'acted', step }),
    middleware: async (ctx, next) => {
      say(ctx, { mark: 'began' })
      let mark: LedgerLine['mark'] = 'threw'
      try {
        const result = await next()
        mark = 'ended'
        return result
      } finally {
        say(ctx, { mark })
      }
    },
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
