import type { PhaseSummary, Summary } from './summary.ts'
import { aligned } from './table.ts'
import { targets } from './targets.ts'

/** What was measured, by subject, phase and figure; undefined if it was not. */
export type Look = (subject: string, phase: string, figure: keyof PhaseSummary) => number | undefined

interface Ratio {
  readonly what: string
  readonly value: number
  readonly cpu?: number | undefined
  readonly atLeast?: number
  readonly atMost?: number
}

const backlogAtLeast = 0.8
const fleetAtLeast = 1

/** A line for each target whose parts were all measured, with what was missed; empty if there is none. */
export function describeRatios(summaries: readonly Summary[]): string {
  const look: Look = (subject, phase, figure) =>
    summaries.find(({ name }) => name === subject)?.phases[phase]?.[figure] ?? undefined
  const ratios = targets.flatMap(({ value, cpu, ...target }): Ratio[] => {
    const found = value(look)
    return found === undefined || !Number.isFinite(found)
      ? []
      : [{ ...target, value: found, cpu: cpu?.(look) }]
  })
  ratios.push(...compareVariants(summaries))
  if (ratios.length === 0) return ''
  return aligned([['', 'measured', 'target', '', 'CPU per job'], ...ratios.map(makeLine)])
}

function makeLine({ what, value, cpu, atLeast, atMost }: Ratio): string[] {
  const reached = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity)
  const target = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`
  const digits = value >= 100 ? 0 : 2
  return [what, value.toFixed(digits), target, reached ? 'reached' : 'MISSED', cpu?.toFixed(2) ?? '']
}

/** Errand's fleets against one process, and its deep histories against none. */
function compareVariants(summaries: readonly Summary[]): Ratio[] {
  return summaries.flatMap(({ name, phases, processes, backlog }) => {
    const [plain = ''] = name.split(' ')
    if (processes === 1 && backlog === 0) return []
    const drain = phases['drain']?.rate
    const base = summaries.find((summary) => summary.name === plain)?.phases['drain']?.rate
    if (!name.startsWith('errand-') || drain == null || base == null) return []
    const atLeast = backlog > 0 && processes === 1 ? backlogAtLeast : fleetAtLeast
    return [{ what: `${name} drain / ${plain}`, value: drain / base, atLeast }]
  })
}
