import type { TransferStatus } from '@errand/core'
import { ErrandError } from '@errand/core/ports'
import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'
import { exitCodes } from '../exit-codes.ts'
import { driverUrl, operator } from '../options/parse.ts'
import { statusLine } from '../output/progress.ts'
import type { Terminal } from '../output/terminal.ts'
import { counted, harmless } from '../output/text.ts'
import { relative } from '../output/times.ts'
import { untilInterrupted } from '../until-interrupted.ts'

interface Options {
  readonly to?: string | undefined
  readonly cancel?: boolean | undefined
  readonly status?: boolean | undefined
  readonly by?: string | undefined
}

export function transfer(program: Command): void {
  const command = program
    .command('transfer')
    .description('move the running system to another driver, with jobs in flight and without a restart')
    .option(
      '--to <url>',
      "the new driver's URL, or env:NAME: the variable of every process that holds it",
      driverUrl,
    )
    .option('--cancel', 'go back to the old driver')
    .option('--status', 'only show how far the last move is')
    .option('--by <name>', 'who does it (default: the user of this system)')
  action<Options>(command, ({ terminal, global }, options) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { to, cancel, status } = options
      if ([to, cancel, status].filter((each) => each !== undefined).length !== 1) {
        throw new ErrandError('E_OPTION', 'say one of --to URL, --cancel and --status')
      }
      if (status) {
        const found = await errand.transfer.status()
        if (terminal.json) terminal.value(found)
        else if (found) print(terminal, found)
        else terminal.print('the driver has never been moved')
        return exitCodes.ok
      }
      const line = statusLine(terminal)
      const by = operator(options.by)
      let reached: TransferStatus | undefined
      const interrupted = await untilInterrupted(async (signal) => {
        const how = { by, signal, onProgress: (now: TransferStatus) => line.show(describeProgress(now)) }
        reached = await (to === undefined ? errand.transfer.cancel(how) : errand.transfer.to(to, how))
      }).finally(() => line.end())
      const done = reached?.phase === 'moved' && reached.behind.length === 0
      if (terminal.json) terminal.value(reached)
      else if (reached) print(terminal, reached)
      if (done) return exitCodes.ok
      terminal.note('the move goes on by itself as far as it can; run the same command again to finish it')
      return interrupted ? exitCodes.interrupted : exitCodes.failure
    }),
  )
}

function describeProgress({ phase, behind, left }: TransferStatus): string {
  if (phase === 'moved') return `${counted(behind.length, 'worker')} still to leave the old driver`
  if (behind.length > 0) return `${counted(behind.length, 'worker')} still to follow`
  const waited = left.filter(({ why }) => why === undefined)
  if (waited.length === 0) return 'waiting until every dispatcher has learned of it'
  const messages = waited.reduce((sum, { messages: count }) => sum + (count ?? 0), 0)
  const queues = `${waited.length === 1 ? 'queue' : 'queues'} ${waited.map(({ queue }) => queue).join(', ')}`
  return `draining ${messages > 0 ? `${counted(messages, 'message')} of ${queues}` : queues}`
}

function print(terminal: Terminal, { phase, from, to, by, since, behind, left }: TransferStatus): void {
  const when = relative(since.getTime(), Date.now())
  const arrow = `${harmless(from)} → ${harmless(to)}`
  if (phase === 'moved')
    terminal.print(`${terminal.paint('good', '✓')} moved: ${arrow} (by ${harmless(by)}, ${when})`)
  else terminal.print(`${terminal.paint('warn', '…')} moving: ${arrow} (by ${harmless(by)}, ${when})`)
  for (const { id, host, pid, drivers } of behind) {
    terminal.print(
      `  worker ${id} on ${harmless(host)} (pid ${pid}) uses ${drivers.map((each) => harmless(each)).join(' and ')}`,
    )
  }
  for (const { queue, messages, why } of left) {
    const count = messages === undefined ? 'jobs from before the move' : counted(messages, 'message')
    const reason =
      why === undefined ? '' : `: ${why}, so the move does not wait for it; its jobs are published again`
    terminal.print(harmless(`  queue ${queue} has ${count} at the old driver${reason}`))
  }
}
