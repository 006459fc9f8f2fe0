import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { LedgerLine } from '@errand/testkit'

/** What handlers write down themselves, apart from the log: one line, in one write, to a file that all processes share. */
export function note(file: string, line: LedgerLine & { readonly pid: number }): void {
  appendFileSync(file, `${JSON.stringify(line)}\n`)
}

export function readLedger(file: string): readonly LedgerLine[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as LedgerLine)
}

/** Gated jobs end from now on. */
export function openGate(file: string): void {
  writeFileSync(gateOf(file), '')
}

export function isGateOpen(file: string): boolean {
  return existsSync(gateOf(file))
}

function gateOf(file: string): string {
  return `${file}.open`
}
