import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ExitCode } from '../../exit-codes.ts'
import { exitCodes } from '../../exit-codes.ts'
import { onParentGone } from './parent.ts'

/**
 * Runs the same command under `node --watch`. A change of any file that it has imported ends the worker in order and
 * starts it again.
 */
export async function runWatched(words: readonly string[], stopsWithParent: boolean): Promise<ExitCode> {
  const script = process.argv[1] ?? ''
  const rest = words.filter((word) => word !== '--watch')
  const child = spawn(
    process.execPath,
    ['--watch', '--watch-preserve-output', ...process.execArgv, script, ...rest],
    {
      stdio: 'inherit',
    },
  )
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  process.on('SIGINT', pass)
  process.on('SIGTERM', pass)
  if (stopsWithParent) onParentGone(() => pass('SIGTERM'))
  const [code] = (await once(child, 'exit')) as [number | null]
  return code === 0 || code === null ? exitCodes.ok : exitCodes.failure
}
