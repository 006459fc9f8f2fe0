/**
 * Runs something that Ctrl-C or SIGTERM ends in order: the signal aborts, and the command tells what has been done. A
 * second Ctrl-C ends the process at once. Resolves with whether it was interrupted.
 */
export async function untilInterrupted(run: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  process.once('SIGINT', abort)
  process.once('SIGTERM', abort)
  try {
    await run(controller.signal)
  } finally {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
  return controller.signal.aborted
}
