const signals = ['SIGTERM', 'SIGINT'] as const

/**
 * Calls `stop` on a signal that comes before the worker itself listens: while its files are loaded.
 * @returns a function that stops listening.
 */
export function onEarlySignal(stop: () => void): () => void {
  for (const signal of signals) process.on(signal, stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
  }
}
