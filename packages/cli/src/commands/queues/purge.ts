import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { confirmed } from '../../confirm.ts'
import { exitCodes } from '../../exit-codes.ts'
import { operator } from '../../options/parse.ts'
import { counted } from '../../output/text.ts'
import { knownQueue } from './known.ts'

interface Options {
  readonly by?: string | undefined
  readonly yes?: boolean | undefined
}

export function purge(queues: Command): void {
  const command = queues
    .command('purge')
    .description('cancel every waiting job of a queue, then remove its tickets from the broker')
    .argument('<queue>')
    .option('--by <name>', "who does it, for the jobs' history (default: the user of this system)")
    .option('--yes', 'do not ask')
  action<Options, [string]>(command, ({ terminal, global }, options, queue) =>
    withErrand(terminal, global, async ({ errand }) => {
      const found = await knownQueue(errand, queue)
      const waiting = found.ready + found.scheduled + found.blocked
      const sure =
        options.yes === true ||
        (await confirmed(terminal, `cancel ${counted(waiting, 'job')} of queue ${queue}?`))
      if (!sure) return exitCodes.interrupted
      const cancelled = await errand.queues.purge(queue, operator(options.by))
      if (terminal.json) terminal.value({ queue, cancelled })
      else terminal.print(`${counted(cancelled, 'job')} of ${queue} cancelled`)
      return exitCodes.ok
    }),
  )
}
