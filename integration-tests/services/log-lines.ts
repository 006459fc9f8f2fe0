// Vitest's setup of every test file: what a logger in the test's own process writes to its outputs is checked, as the output
// of every process that a test starts is.
import fs from 'node:fs'
import { checkLogLines } from '../../packages/testkit/src/log-lines.ts'

const { writeSync } = fs as { writeSync: (descriptor: number, ...more: readonly unknown[]) => number }
const checked = Symbol.for('errand.tests.checked')

/** Pino looks it up here for each line that it writes at once. A process that runs many files of tests checks once. */
if (!(checked in writeSync)) {
  Object.assign(fs, {
    writeSync: Object.assign(
      (descriptor: number, ...more: readonly unknown[]): number => {
        const [written] = more
        if ((descriptor === 1 || descriptor === 2) && typeof written === 'string') check(written)
        return writeSync(descriptor, ...more)
      },
      { [checked]: true },
    ),
  })
}

function check(written: string): void {
  try {
    checkLogLines(written)
  } catch (error) {
    // Thrown outside of the logger, which would catch it: an uncaught error fails the run.
    setImmediate(() => {
      throw error
    })
  }
}
