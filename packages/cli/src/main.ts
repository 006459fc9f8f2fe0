import { exitCodes } from './exit-codes.ts'
import { flushed, onBrokenPipe, openTerminal } from './output/terminal.ts'
import { program } from './program.ts'
import { reportError } from './report-error.ts'

/**
 * Runs the `errand` command and ends the process with its exit code.
 * @param words what stands behind `errand` on the command line.
 */
export async function main(words: readonly string[]): Promise<void> {
  // Nobody reads any more: done, unless the command has more to do than to print (it then listens itself).
  onBrokenPipe(() => process.exit(exitCodes.ok))
  try {
    await program().parseAsync(words, { from: 'user' })
  } catch (error) {
    const terminal = openTerminal(words.includes('--json'))
    process.exitCode = reportError(terminal, error, words.includes('--verbose'))
  }
  await flushed()
  // Whatever a worker file left open (a pool, a timer) must not keep a finished command alive.
  process.exit()
}
