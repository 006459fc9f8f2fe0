import { median } from './table.ts'

/** What the statements of one kind took, in a part of a run. */
export interface Statements {
  readonly calls: number
  readonly rows: number
  readonly p50Ms: number
  readonly meanMs: number
  readonly maxMs: number
}

export interface Call {
  readonly ms: number
  readonly rows: number
}

export function summarizeStatements(calls: readonly Call[]): Statements {
  const times = calls.map(({ ms }) => ms)
  const sum = times.reduce((total, ms) => total + ms, 0)
  return {
    calls: calls.length,
    rows: calls.reduce((total, { rows }) => total + rows, 0),
    p50Ms: median(times),
    meanMs: calls.length === 0 ? 0 : sum / calls.length,
    maxMs: times.reduce((longest, ms) => Math.max(longest, ms), 0),
  }
}

/** The calls in their order, in parts with about the same number of rows. Empty calls are left out. */
export function splitCalls(calls: readonly Call[], count: number): readonly (readonly Call[])[] {
  const busy = calls.filter(({ rows }) => rows > 0)
  const all = busy.reduce((total, { rows }) => total + rows, 0)
  const parts = Array.from({ length: count }, (): Call[] => [])
  let before = 0
  for (const call of busy) {
    parts[Math.floor((count * before) / all)]?.push(call)
    before += call.rows
  }
  return parts
}
