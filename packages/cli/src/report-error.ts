import { isErrandError, maskCredentials, toFailure } from '@errand/core/ports'
import { CommanderError } from 'commander'
import { exitCodes, toExitCode } from './exit-codes.ts'
import type { ExitCode } from './exit-codes.ts'
import { failureText } from './output/failure-text.ts'
import { harmless } from './output/text.ts'
import type { Terminal } from './output/terminal.ts'

/**
 * Writes to stderr what went wrong and what to do; with `--json` as one JSON line. Returns the exit code of its kind.
 */
export function reportError(terminal: Terminal, error: unknown, verbose: boolean): ExitCode {
  if (error instanceof CommanderError) return reportUsage(terminal, error)
  const code = isErrandError(error) ? error.code : undefined
  const ids = isErrandError(error) ? error.ids : undefined
  const message = maskCredentials(error instanceof Error ? error.message : String(error))
  if (terminal.json) {
    const stack = verbose && error instanceof Error ? maskCredentials(error.stack ?? '') : undefined
    terminal.note(JSON.stringify({ error: { code: code ?? 'E_UNEXPECTED', message, ids, stack } }))
    return toExitCode(error)
  }
  const title = code ?? (error instanceof Error ? error.name : 'Error')
  terminal.note(`${terminal.notePaint('bad', title)}  ${harmless(message, 'many')}`)
  if (ids && ids.length > 0) terminal.note(`ids: ${ids.join(', ')}`)
  if (verbose) terminal.note(terminal.notePaint('faint', harmless(failureText(toFailure(error)), 'many')))
  else if (code === undefined) terminal.note(terminal.notePaint('faint', '(--verbose shows the stack)'))
  return toExitCode(error)
}

/** Wrong use. Help and version are "errors" of commander too, which have printed their text already. */
function reportUsage(terminal: Terminal, error: CommanderError): ExitCode {
  if (error.exitCode === 0) return exitCodes.ok
  // A group without a command, such as `errand jobs`. Its help is on stderr already.
  if (error.code === 'commander.help') return exitCodes.usage
  const message = maskCredentials(error.message.replace(/^error: /, ''))
  if (terminal.json) terminal.note(JSON.stringify({ error: { code: 'E_OPTION', message } }))
  else terminal.note(`${terminal.notePaint('bad', 'E_OPTION')}  ${harmless(message, 'many')}`)
  return exitCodes.usage
}
