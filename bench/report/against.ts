import type { Figures } from '../measure/round.ts'
import { sumCpu, quantile } from './summary.ts'
import type { Rounds } from './summary.ts'
import { aligned, dash } from './table.ts'

/** A subject of this build and of the other one. */
export interface Pair {
  readonly subject: string
  readonly own: Rounds
  readonly other: Rounds
}

/** No row may fall behind the other build by more than this. */
const atLeast = 0.97
/** What must become faster, and by how much, since 739b7e9. */
const wanted: Readonly<Record<string, number>> = { 'errand-postgres drain': 2 }

/** New over old for each phase: rates, or old latency over new if there is no rate. Above one the new build is better. */
export function compareBuilds(name: string, pairs: readonly Pair[]): string {
  const rows = pairs.flatMap(({ subject, own, other }) =>
    [...own].flatMap(([phase, rounds]) => makeRows(`${subject} ${phase}`, rounds, other.get(phase) ?? [])),
  )
  if (rows.length === 0) return ''
  const head = [`this build / ${name}, by rounds`, 'least', 'median', 'most', 'CPU per job', '']
  return aligned([head, ...rows])
}

function makeRows(what: string, own: readonly Figures[], other: readonly Figures[]): string[][] {
  const ratios = listSpeeds(own).flatMap((speed, at) => divide(speed, listSpeeds(other)[at]))
  if (ratios.length === 0) return []
  const cpu = own.flatMap((one, at) => divide(sumCpu(one), other[at] && sumCpu(other[at])))
  const median = quantile(ratios, 0.5) ?? Number.NaN
  const shown = [Math.min(...ratios), median, Math.max(...ratios)].map((one) => one.toFixed(2))
  const target = wanted[what]
  const reached = target === undefined ? '' : `, ≥ ${target} ${median >= target ? 'reached' : 'MISSED'}`
  const verdict = `${median >= atLeast ? 'kept' : 'BEHIND'}${reached}`
  return [[what, ...shown, quantile(cpu, 0.5)?.toFixed(2) ?? dash, verdict]]
}

function listSpeeds(rounds: readonly Figures[]): readonly (number | undefined)[] {
  return rounds.map(({ rate, latencies, commitsPerSecond, requestsPerSecond, startup }) => {
    const slowness =
      (latencies && quantile(latencies, 0.5)) ?? requestsPerSecond ?? commitsPerSecond ?? startup
    return rate ?? (slowness === undefined ? undefined : 1 / slowness)
  })
}

function divide(own: number | undefined, other: number | undefined): number[] {
  return own === undefined || other === undefined ? [] : [own / other]
}
