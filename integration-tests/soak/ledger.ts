import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import type { LedgerLine } from '@errand/testkit'

const pieceBytes = 65_536

/** Reads a ledger that grows for as long as the soak lasts: each line once, and no more of it at a time than is new. */
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
