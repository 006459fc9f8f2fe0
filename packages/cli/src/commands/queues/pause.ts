import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { operator } from '../../options/parse.ts'
import { knownQueue } from './known.ts'

interface Options {
  readonly by?: string | undefined
}

export function pause(queues: Command): void {
  const command = queues
    .command('pause')
    .description('start no more jobs of a queue on any worker; running jobs and dispatching go on')
    .argument('<queue>')
    .option('--by <name>', 'who does it (default: the user of this system)')
  action<Options, [string]>(command, ({ terminal, global }, options, queue) =>
    withErrand(terminal, global, async ({ errand }) => {
      await knownQueue(errand, queue)
      await errand.queues.pause(queue, operator(options.by))
      if (terminal.json) terminal.value({ queue, paused: true })
      else terminal.print(`${queue} is paused; errand queues resume ${queue}`)
    }),
  )
}
