/**
 * Random faults on a running fleet of real processes for a given time, or a million jobs in one queue: `pnpm soak --help`.
 * It leaves nothing running, however it ends.
 */
import { constants } from 'node:os'
import { randomInt } from 'node:crypto'
import { backlog, describeBacklog, passed as backlogPassed } from './backlog.ts'
import { soak } from './life.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import type { Run } from './run.ts'
import { describeSummary, passed } from './summary.ts'

const say = (line: string): void => void process.stderr.write(`${line}\n`)
const acts: (() => void | Promise<void>)[] = []
const ending = new AbortController()
const run: Run = { say, atTheEnd: (act) => void acts.push(act), ending: ending.signal }
let closing: Promise<void> | undefined

/** Closes everything, the last first. If one fails, the others are still closed. */
function close(): Promise<void> {
  ending.abort()
  closing ??= (async () => {
    for (const act of acts.toReversed()) {
      try {
        await act()
      } catch (error) {
        say(`while closing: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  })()
  return closing
}

function leaveOn(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  process.once(signal, () => {
    say(`${signal}: stopping every process and server`)
    void close().then(() => process.exit(128 + constants.signals[signal]))
  })
}

async function main(options: Options): Promise<boolean> {
  if (options.mode === 'help') {
    process.stdout.write(usage)
    return true
  }
  const print = (summary: unknown, text: string): void => {
    // An interrupted run has no result.
    if (!ending.signal.aborted) process.stdout.write(options.json ? `${JSON.stringify(summary)}\n` : text)
  }
  if (options.mode === 'backlog') {
    const summary = await backlog(options, run)
    print(summary, describeBacklog(summary))
    return backlogPassed(summary)
  }
  const summary = await soak(options, run)
  print(summary, describeSummary(summary))
  return passed(summary)
}

function parseOptions(given: readonly string[]): Options | undefined {
  try {
    return readOptions(given, () => randomInt(1_000_000))
  } catch (error) {
    say(`${error instanceof Error ? error.message : String(error)} (pnpm soak --help)`)
    return undefined
  }
}

const options = parseOptions(process.argv.slice(2))
if (options === undefined) process.exitCode = 2
else {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) leaveOn(signal)
  let code = 1
  try {
    code = (await main(options)) ? 0 : 1
  } catch (error) {
    if (!ending.signal.aborted) say(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  // An interrupted run fails because its servers are stopped. Then the signal decides the exit code.
  const interrupted = ending.signal.aborted
  await close()
  if (!interrupted) process.exit(code)
}
