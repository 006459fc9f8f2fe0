import type { LedgerLine } from '@errand/testkit/history'
import type { SimulatedProcess } from './process.ts'

/** What the handlers of all processes write down, each line at once and for good: a file that outlives them. */
export class Ledger {
  readonly lines: LedgerLine[] = []

  /** Writes a line. The process may die here: then it never returns. */
  async mark(process: SimulatedProcess, line: LedgerLine): Promise<void> {
    if (!process.reaches(`handler ${line.mark} ${line.jobId.slice(-6)}/${line.run}`)) {
      await new Promise(() => undefined)
    }
    this.lines.push(line)
  }
}
