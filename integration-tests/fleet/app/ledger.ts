import { appendFileSync, closeSync, existsSync, openSync, readSync, writeFileSync } from 'node:fs'
import type { LedgerLine } from '@errand/testkit'

const pieceBytes = 65_536

/** What handlers write down themselves, apart from the log: one line, in one write, to a file that all processes share. */
export function note(file: string, line: LedgerLine & { readonly pid: number }): void {
  appendFileSync(file, `${JSON.stringify(line)}\n`)
}

export function readLedger(file: string): readonly LedgerLine[] {
  return new LedgerTail(file).read()
}

/** The same, for who looks often: each line is read once, however long the ledger grows. */
export class LedgerTail {
  readonly #file: string
  #offset = 0
  #rest = Buffer.alloc(0)

  constructor(file: string) {
    this.#file = file
  }

  /** The lines since the last time. The last line may still be in the middle of being written: it comes the next time. */
  read(): readonly LedgerLine[] {
    if (!existsSync(this.#file)) return []
    const file = openSync(this.#file, 'r')
    try {
      const lines: LedgerLine[] = []
      const piece = Buffer.alloc(pieceBytes)
      for (;;) {
        const length = readSync(file, piece, 0, pieceBytes, this.#offset)
        if (length === 0) return lines
        this.#offset += length
        const text = Buffer.concat([this.#rest, piece.subarray(0, length)])
        const end = text.lastIndexOf('\n') + 1
        this.#rest = text.subarray(end)
        for (const line of text.subarray(0, end).toString().split('\n'))
          if (line !== '') lines.push(JSON.parse(line) as LedgerLine)
      }
    } finally {
      closeSync(file)
    }
  }
}

/** Gated jobs end from now on. */
export function openGate(file: string): void {
  writeFileSync(toGate(file), '')
}

export function isGateOpen(file: string): boolean {
  return existsSync(toGate(file))
}

function toGate(file: string): string {
  return `${file}.open`
}
