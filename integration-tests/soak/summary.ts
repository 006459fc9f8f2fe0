import type { EventType, JobState } from '@errand/core/ports'
import { findPlace } from '../fleet/place.ts'
import type { Recovered } from '../fleet/fleet.ts'
import type { Life } from './fleet.ts'
import type { SoakFault } from './faults.ts'
import { aligned, mebibytes, median, seconds } from './table.ts'

export interface Summary {
  readonly place: string
  readonly seed: number
  readonly lastedMs: number
  readonly checkpoints: number
  /** By their final state. */
  readonly jobs: Readonly<Partial<Record<JobState, number>>>
  readonly events: Readonly<Partial<Record<EventType, number>>>
  readonly faults: readonly FaultLine[]
  readonly memory: readonly MemoryLine[]
  /** Processes that ended, by how. */
  readonly exits: readonly { readonly how: string; readonly times: number }[]
  readonly violations: readonly string[]
}

interface FaultLine {
  readonly fault: SoakFault
  readonly times: number
  readonly recoveries: readonly {
    readonly what: string
    readonly times: number
    readonly medianMs: number
    /** Undefined: one of them did not come. */
    readonly maxMs: number | undefined
    readonly limitMs: number
  }[]
}

interface MemoryLine {
  readonly who: string
  readonly processes: number
  readonly startBytes: number
  readonly endBytes: number
  readonly maxBytes: number
}

export interface Told {
  readonly place: string
  readonly seed: number
  readonly lastedMs: number
  readonly checkpoints: number
  readonly jobs: Summary['jobs']
  readonly events: Summary['events']
  /** In the order in which they were made. */
  readonly faults: readonly SoakFault[]
  readonly recoveries: readonly Recovered[]
  readonly lives: readonly Life[]
  readonly violations: readonly string[]
}

export function summarize({ faults, recoveries, lives, ...told }: Told): Summary {
  const ended = lives.filter(({ ended }) => ended !== undefined)
  return {
    ...told,
    faults: [...Map.groupBy(faults, (fault) => fault)].map(([fault, { length: times }]) => ({
      fault,
      times,
      recoveries: summarizeRecoveries(recoveries.filter((each) => each.fault === fault)),
    })),
    memory: summarizeMemory(lives),
    exits: [
      ...Map.groupBy(
        ended,
        ({ program, ended, asked }) => `${program}: ${ended}${asked ? '' : ' by itself'}`,
      ),
    ].map(([how, { length }]) => ({
      how,
      times: length,
    })),
  }
}

function summarizeRecoveries(recoveries: readonly Recovered[]): FaultLine['recoveries'] {
  return [...Map.groupBy(recoveries, ({ what }) => what)].map(([what, those]) => {
    const times = those.flatMap(({ ms }) => ms ?? [])
    return {
      what,
      times: those.length,
      medianMs: median(times),
      maxMs: times.length < those.length ? undefined : Math.max(...times),
      limitMs: those[0]?.limitMs ?? 0,
    }
  })
}

/** A line for each process that lived until the end, and one for all of a kind that came and went. */
function summarizeMemory(lives: readonly Life[]): readonly MemoryLine[] {
  const known = lives.flatMap(({ memory, ...life }) => (memory?.values.length ? [{ ...life, memory }] : []))
  const rows = Map.groupBy(known, ({ name, program, ended }) =>
    ended === undefined ? name : `${program}s that ended`,
  )
  return [...rows].map(([who, those]) => ({
    who,
    processes: those.length,
    startBytes: median(those.map(({ memory }) => memory.values[0] ?? 0)),
    endBytes: median(those.map(({ memory }) => memory.values.at(-1) ?? 0)),
    maxBytes: Math.max(...those.map(({ memory }) => memory.maxBytes)),
  }))
}

export function passed({ violations }: Summary): boolean {
  return violations.length === 0
}

export function describeSummary(summary: Summary): string {
  const { place, seed, lastedMs, checkpoints, jobs, events, faults, memory, exits, violations } = summary
  const made = faults.reduce((sum, { times }) => sum + times, 0)
  const dispatched = Object.values(jobs).reduce((sum, count) => sum + count, 0)
  const counted = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${count.toLocaleString('en')} ${name}`)
      .join(', ')
  const faultRows = faults.flatMap(({ fault, times, recoveries }) =>
    recoveries.length === 0
      ? [[fault, '', `${times}`, '', '', '']]
      : recoveries.map(({ what, times: recovered, medianMs, maxMs, limitMs }, index) => [
          index === 0 ? fault : '',
          what,
          `${recovered}`,
          seconds(medianMs),
          maxMs === undefined ? 'never' : seconds(maxMs),
          seconds(limitMs),
        ]),
  )
  const memoryRows = memory.map(({ who, processes, startBytes, endBytes, maxBytes }) => [
    processes === 1 ? who : `${who} (${processes})`,
    mebibytes(startBytes),
    mebibytes(endBytes),
    mebibytes(maxBytes),
  ])
  return `
Soak on ${findPlace(place).title}: ${seconds(lastedMs)}, ${made} faults, ${checkpoints} checkpoints, seed ${seed}

Jobs: ${dispatched.toLocaleString('en')} dispatched; ${counted(jobs)}
Events: ${counted(events)}

${aligned([['fault', 'recovery', 'times', 'median', 'longest', 'limit'], ...faultRows], 2)}

${aligned([['memory', 'start', 'end', 'largest'], ...memoryRows])}

Processes that ended: ${exits.map(({ how, times }) => `${how} (${times}×)`).join(', ') || 'none'}
${violations.length === 0 ? 'No violation, every recovery in time.' : `${violations.length} VIOLATIONS:\n${violations.join('\n')}`}
`
}
