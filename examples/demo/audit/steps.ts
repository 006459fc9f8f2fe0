import type { LedgerLine } from '../ledger.ts'
import type { Dispatched } from './audit.ts'

/** A step, as the log remembers it. */
export interface Remembered {
  readonly name: string
  /** The run that did it. */
  readonly run: number
}

/** What is wrong with the steps of a job: each must have acted once, in the run that the log remembers it of. */
export function checkSteps(
  { id, label, steps = [] }: Dispatched,
  remembered: readonly Remembered[],
  ledger: readonly LedgerLine[],
): string[] {
  const acted = ledger.filter(({ mark, jobId }) => mark === 'acted' && jobId === id)
  const others = [...acted.map(({ step = '' }) => step), ...remembered.map(({ name }) => name)]
  const names = new Set([...steps, ...others])
  return [...names].flatMap((name) => {
    const lines = acted.filter(({ step }) => step === name)
    const kept = remembered.find((step) => step.name === name)
    const wrong = (text: string): string => `${label}: its step ${name} ${text} (job ${id})`
    if (!steps.includes(name)) return [wrong('is none that its dispatcher knows')]
    if (lines.length !== 1) return [wrong(`acted ${lines.length} times`)]
    if (!kept) return [wrong('acted, and the log does not remember it')]
    const [run] = lines.map((line) => line.run)
    return run === kept.run ? [] : [wrong(`acted in run ${run}, and the log remembers it of run ${kept.run}`)]
  })
}
