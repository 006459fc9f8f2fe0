import { appendFileSync } from 'node:fs'
import type { Logger } from 'errand'

/** Log lines of Errand in the demo's own process go to a file, because the terminal shows the board. */
export function fileLogger(path: string): Logger {
  const write = (level: string) => (about: object, message?: string) =>
    appendFileSync(path, `${JSON.stringify({ at: new Date(), level, message, ...about }, plainErrors)}\n`)
  return { debug: () => {}, info: () => {}, warn: write('warn'), error: write('error') }
}

function plainErrors(_: string, value: unknown): unknown {
  return value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value
}
