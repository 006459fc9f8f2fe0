import type { Told } from './describe.ts'
import { faultNames, faults, notAt } from './faults.ts'
import type { Fault, FaultName } from './faults.ts'
import { afterCrashMs, afterReturnMs, leaseMs } from '../fleet/limits.ts'
import { placeKinds } from '../fleet/place.ts'
import type { PlaceKind } from '../fleet/place.ts'

/** The result of one fault on one place. */
export interface Result extends Told {
  readonly passed: boolean
}

/** The page of docs/reliability.md: every fault, on every place. */
export function report(results: readonly Result[]): string {
  const heads = placeKinds.map(({ title }) => title)
  const rows = faultNames.map((name) => {
    const { fault, how, expected }: Fault = faults[name]
    const cells = placeKinds.map((place) => cell(name, place, results))
    return `| ${[fault, how, expected, ...cells].map(inCell).join(' | ')} |`
  })
  const passed = results.filter((result) => result.passed).length
  return `# Reliability

<!-- Written by \`pnpm test:faults\` at the end of a whole run. Do not edit. -->

What Errand survives, on each place that it runs on. For every cell with a tick, a fleet of real processes (four workers and
a dispatcher, with jobs of every kind going through them: plain, ordered by key, \`onCrash: 'fail'\`, with effects in the
database) lived through the fault on servers of its own; then every job ended, and a checker read all events of the log and
the handlers' own ledger: no job lost, at most one success, at most one claim at a time, nothing started again that had
ended, order per key, \`onCrash: 'fail'\` kept, every history a legal path, no process gone silently, memory below its limit.

**The time** in a cell is the longest that something took to come back: after a killed worker, until its jobs were started
again (the lease is ${seconds(leaseMs)} here; the limit is ${seconds(afterCrashMs)}); after a broker or a database came back, until every worker took
jobs and a new one started (the limit is ${seconds(afterReturnMs)}). The machine was busy with all places at once, so the times are
upper bounds. The limits are those of a quiet machine, and longer on one that is busier. A dash: it cannot happen there; the reasons are below.

${passed} of ${results.length} passed.

| fault | how | expected | ${heads.join(' | ')} |
| --- | --- | --- | ${heads.map(() => '---').join(' | ')} |
${rows.join('\n')}

## Where a fault cannot happen

${reasons().join('\n')}
`
}

function cell(name: FaultName, place: PlaceKind, results: readonly Result[]): string {
  if (notAt(name, place) !== undefined) return '–'
  const result = results.find((each) => each.fault === name && each.place === place.name)
  if (!result?.passed) return '✗'
  const times = result.recoveries.map(({ ms }) => ms ?? 0)
  return times.length === 0 ? '✓' : `✓ ${seconds(Math.max(...times))}`
}

function reasons(): readonly string[] {
  const places = new Map<string, string[]>()
  for (const name of faultNames) {
    for (const place of placeKinds) {
      const why = notAt(name, place)
      if (why === undefined) continue
      const where = `${faults[name].fault}|${why}`
      places.set(where, [...(places.get(where) ?? []), place.broker?.title ?? place.title])
    }
  }
  return [...places].map(([where, names]) => {
    const [fault, why] = where.split('|')
    return `- ${fault}, on ${names.join(', ')}: ${why}.`
  })
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms % 1_000 === 0 ? 0 : 1)} s`
}

function inCell(text: string): string {
  return text.replaceAll('|', '\\|')
}
