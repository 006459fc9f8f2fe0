/** Ends this process when the process that started it ends, in any way, and passes on the lines that it gets from it. */
import { createInterface } from 'node:readline'

export function onLine(told: (line: string) => void): void {
  createInterface(process.stdin).on('line', told)
  // Not process.exit: it waits for threads, and has been seen to wait for ever.
  process.stdin.once('end', () => process.kill(process.pid, 'SIGKILL'))
  // Listening must not keep a process alive that has done its work.
  ;(process.stdin as { unref?: () => void }).unref?.()
}
