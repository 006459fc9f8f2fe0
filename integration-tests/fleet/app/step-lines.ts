import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import type { ActedLine, DatedAct, SeenLine } from '../../simulation/step-notes.ts'

/** What handlers note of their steps, in a file beside the ledger. */
interface StepLines {
  readonly acts: readonly DatedAct[]
  readonly seen: readonly SeenLine[]
}

export function noteStep(ledger: string, line: ActedLine | SeenLine): void {
  appendFileSync(toFile(ledger), `${JSON.stringify({ ...line, at: Date.now() })}\n`)
}

export function readStepLines(ledger: string): StepLines {
  const file = toFile(ledger)
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const lines = text
    .split('\n')
    .flatMap((line) => (line === '' ? [] : (JSON.parse(line) as DatedAct | SeenLine)))
  return {
    acts: lines.flatMap((line) => ('value' in line ? [] : line)),
    seen: lines.flatMap((line) => ('value' in line ? line : [])),
  }
}

function toFile(ledger: string): string {
  return `${ledger}.steps`
}
