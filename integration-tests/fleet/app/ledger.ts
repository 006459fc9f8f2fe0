import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs'
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

/** The same, for whoever looks often: each look reads only what is new. */
export function ledgerReader(file: string): () => readonly LedgerLine[] {
  const lines: LedgerLine[] = []
  const buffer = Buffer.alloc(65_536)
  let offset = 0
  let rest = ''
  return () => {
    if (!existsSync(file)) return lines
    const descriptor = openSync(file, 'r')
    try {
      for (;;) {
        const read = readSync(descriptor, buffer, 0, buffer.length, offset)
        if (read === 0) return lines
        offset += read
        const parts = (rest + buffer.toString('utf8', 0, read)).split('\n')
        rest = parts.pop() ?? ''
        lines.push(...parts.map((line) => JSON.parse(line) as LedgerLine))
      }
    } finally {
      closeSync(descriptor)
    }
  }
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
