const signals = ['SIGTERM', 'SIGINT'] as const

/**
 * Calls `stop` on a signal that comes before the worker listens itself: its files are being loaded, and nothing has begun.
 * @returns what ends the listening.
 */
export function onEarlySignal(stop: () => void): () => void {
  for (const signal of signals) process.on(signal, stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
  }
}
