import { exitCodes } from './exit-codes.ts'
import type { ExitCode } from './exit-codes.ts'
import { flushed, onOutputError, openTerminal } from './output/terminal.ts'
import { program } from './program.ts'
import { reportError } from './report-error.ts'

/**
 * Runs the `errand` command and ends the process with its exit code.
 * @param words the arguments after `errand` on the command line.
 */
export async function main(words: readonly string[]): Promise<void> {
  const report = (error: unknown): ExitCode =>
    reportError(openTerminal(words.includes('--json')), error, words.includes('--verbose'))
  // The command is done, unless it does more than print (then it listens itself).
  onOutputError({
    closed: () => process.exit(exitCodes.ok),
    failed: (error) => process.exit(report(error)),
  })
  try {
    const errand = await program(words)
    await errand.parseAsync(words, { from: 'user' })
  } catch (error) {
    process.exitCode = report(error)
  }
  await flushed()
  // Things that a worker file left open (a pool, a timer) must not keep a finished command alive.
  process.exit()
}
