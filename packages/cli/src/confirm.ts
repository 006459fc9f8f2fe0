import { createInterface } from 'node:readline/promises'
import { ErrandError } from '@errand/core/ports'
import type { Terminal } from './output/terminal.ts'

/** The streams of a question and its answer. */
export interface Dialog {
  readonly input: NodeJS.ReadableStream
  readonly output: NodeJS.WritableStream
}

/**
 * Asks on a terminal. Ctrl-C, and Ctrl-D as the end of the input, mean no.
 * @throws `E_OPTION` if there is no terminal: a script must say `--yes`.
 */
export async function confirmed(
  terminal: Terminal,
  question: string,
  { input, output }: Dialog = { input: process.stdin, output: process.stderr },
): Promise<boolean> {
  if (!terminal.interactive) {
    throw new ErrandError(
      'E_OPTION',
      `${question} There is no terminal to ask on: pass --yes, or look first with --dry-run`,
    )
  }
  const lines = createInterface({ input, output })
  const left = new AbortController()
  // At the end of the input readline closes, and the question would stay without an answer.
  lines.once('close', () => left.abort())
  try {
    const prompt = `${terminal.notePaint('strong', question)} [y/N] `
    const answer = await lines.question(prompt, { signal: left.signal })
    return /^y(es)?$/i.test(answer.trim())
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'AbortError') throw error
    output.write('\n')
    return false
  } finally {
    lines.close()
  }
}
