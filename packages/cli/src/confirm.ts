import { createInterface } from 'node:readline/promises'
import { ErrandError } from '@errand/core/ports'
import type { Terminal } from './output/terminal.ts'

/**
 * Asks on a terminal.
 * @throws `E_OPTION` if there is no terminal: a script must say `--yes`.
 */
export async function confirmed(terminal: Terminal, question: string): Promise<boolean> {
  if (!terminal.interactive) {
    throw new ErrandError(
      'E_OPTION',
      `${question} There is no terminal to ask on: pass --yes, or look first with --dry-run`,
    )
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await lines.question(`${terminal.notePaint('strong', question)} [y/N] `)
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    lines.close()
  }
}
