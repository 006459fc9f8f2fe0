import { appendFileSync, closeSync, existsSync, openSync, readSync, writeFileSync } from 'node:fs'
import type { LedgerLine } from '@errand/testkit'

const pieceBytes = 65_536

/** A line of a handler. Tests of limits note whose job it was, and when: ms since the epoch. */
interface NotedLine extends LedgerLine {
  readonly pid: number
  readonly tenant?: string | undefined
  readonly at?: number | undefined
}

/** Writes a line of a handler, apart from the log: in one write, to a file that all processes share. */
export function note(file: string, line: NotedLine): void {
  appendFileSync(file, `${JSON.stringify(line)}\n`)
}

export function readLedger(file: string): readonly LedgerLine[] {
  return new LedgerTail(file).read()
}

/** Reads each line of the ledger once, for callers that look often, however long it grows. */
export class LedgerTail {
  readonly #file: string
  #offset = 0
  #rest = Buffer.alloc(0)

  constructor(file: string) {
    this.#file = file
  }

  /** The lines since the last call. A last line that is not complete yet comes with the next call. */
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
