import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { operator } from '../../options/parse.ts'
import { knownQueue } from './known.ts'

interface Options {
  readonly by?: string | undefined
}

export function resume(queues: Command): void {
  const command = queues
    .command('resume')
    .description('let a paused queue go on')
    .argument('<queue>')
    .option('--by <name>', 'who does it (default: the user of this system)')
  action<Options, [string]>(command, ({ terminal, global }, options, queue) =>
    withErrand(terminal, global, async ({ errand }) => {
      await knownQueue(errand, queue)
      await errand.queues.resume(queue, operator(options.by))
      if (terminal.json) terminal.value({ queue, paused: false })
      else terminal.print(`${queue} goes on`)
    }),
  )
}
