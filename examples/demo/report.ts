import { isAbsolute, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { JobEvent } from 'errand'
import type { Audit } from './audit/audit.ts'
import type { Audited } from './audit/gather.ts'
import type { Performance } from './perform.ts'
import type { Found } from './pictures.ts'
import { sqliteUrl } from './place.ts'
import type { Place } from './place.ts'
import { parseSchema, shown } from './postgres.ts'
import { counted, fit, paint } from './stage/style.ts'

const print = (line = ''): void => void process.stdout.write(line === '' ? '\n' : `  ${line}\n`)

export function reportFound({ unreadable, leftOut, pictures }: Found): void {
  for (const { file, why } of unreadable)
    print(paint('yellow', `${file} is left out, it cannot be read: ${why}`))
  if (leftOut > 0) print(`of the pictures in this folder the first ${pictures.length} are taken`)
}

export function reportAudit(audit: Audit): void {
  const { dispatched, events, findings, lines, lostAndRunAgain, outOfOrder, stepsOnce, succeededOnce } = audit
  const sentence = [
    `${dispatched} dispatched`,
    `${succeededOnce} succeeded once`,
    `${lostAndRunAgain} lost and run again`,
    `${outOfOrder} out of order`,
    `${counted(stepsOnce, 'step')} done once`,
  ].join(' · ')
  print()
  print(paint(['bold', findings.length === 0 ? 'green' : 'red'], sentence))
  print(
    paint(
      'dim',
      `by ${events} events in the log, held against ${lines} lines that the handlers wrote to a ledger of their own`,
    ),
  )
  if (findings.length === 0) return
  print()
  print(paint('red', `the audit found ${counted(findings.length, 'fault')}:`))
  for (const finding of findings.slice(0, 20)) print(paint('red', `  ${finding}`))
  if (findings.length > 20) print(paint('red', `  and ${findings.length - 20} more`))
}

export function reportPerformance(performance: Performance, { histories }: Audited): void {
  const { lost, names, overtaking, swapped, tookMs } = performance
  if (overtaking) {
    const { label, behind, overtook, afterMs } = overtaking
    print()
    print(`${paint('magentaBright', label)} came in the critical lane when ${counted(behind, 'job')} waited,`)
    print(`and started ${afterMs} ms later, ahead of ${overtook} of them`)
  }
  print()
  print(
    `then the workers moved to ${paint('cyan', swapped.broker)}, one by one, and started ${counted(swapped.jobs, 'job')} there`,
  )
  const [first] = lost
  if (first) {
    print()
    print(
      `${paint('yellow', first.label)}: what the log knows of one of the ${counted(lost.length, 'job')} that were lost`,
    )
    printHistory(histories.get(first.id) ?? [], names)
  }
  print()
  print(paint('dim', `all of it in ${(tookMs / 1000).toFixed(1)} s`))
}

function printHistory(history: readonly JobEvent[], names: ReadonlyMap<string, string>): void {
  const from = history.at(0)?.at.getTime() ?? 0
  print(paint('dim', `  ${fit('after', 10)} ${fit('event', 12)} ${fit('run', 4)} ${fit('state', 10)} worker`))
  for (const event of history) {
    const after = `${((event.at.getTime() - from) / 1000).toFixed(3)} s`
    const worker = 'worker' in event ? (names.get(event.worker) ?? '') : ''
    const run = event.run > 0 ? String(event.run) : ''
    const row = `  ${fit(after.padStart(9), 10)} ${fit(event.type, 12)} ${fit(run, 4)} ${fit(event.state, 10)} ${worker}`
    print(event.type === 'lost' ? paint('yellow', row) : row)
  }
}

/** Prints where the results are, and three commands to try next. */
export function reportNext(place: Place, log: string, performance: Performance): void {
  const job = performance.lost.at(0) ?? performance.dispatched.at(0)
  const own = ` --log ${quoted(log.startsWith('sqlite:') ? sqliteUrl(fromHere(place.database)) : shown(log))}`
  print()
  print(`Contact sheet  ${paint('underline', pathToFileURL(place.sheet).href)}`)
  print()
  print('Next')
  print(`  npx -y pnpm@12 errand jobs show ${job?.id}${own}`)
  print(`  npx -y pnpm@12 errand events${own}`)
  print(`  npx -y pnpm@12 demo ~/Pictures`)
  const schema = log.startsWith('sqlite:') ? undefined : parseSchema(log)
  if (schema !== undefined) print(paint('dim', `The schema ${schema} is dropped when the demo runs again.`))
  print()
}

/** A relative path for a file below this folder: pnpm runs the next command here too. */
function fromHere(file: string): string {
  const short = relative('', file)
  return short.startsWith('..') || isAbsolute(short) ? file : short
}

/** Quotes a word for a shell, if necessary. */
function quoted(word: string): string {
  return /^[\w./:@=+%-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}
