import { Option } from 'commander'
import { ErrandError } from '@errand/core/ports'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { operator } from '../../options/parse.ts'
import { knownQueue } from './known.ts'

interface Options {
  readonly concurrency?: string | undefined
  readonly none?: boolean | undefined
  readonly by?: string | undefined
  readonly reason?: string | undefined
}

export function limit(queues: Command): void {
  const command = queues
    .command('limit')
    .description('let at most so many jobs of a queue run at a time, over all workers')
    .argument('<queue>')
    .addOption(new Option('--concurrency <number>', 'how many (1 to 10,000)').conflicts('none'))
    .option('--none', 'take the limit away')
    .option('--by <name>', 'who does it (default: the user of this system)')
    .option('--reason <text>', 'why')
  action<Options, [string]>(command, ({ terminal, global }, { concurrency, none, by, reason }, queue) =>
    withErrand(terminal, global, async ({ errand }) => {
      if (concurrency === undefined && none !== true)
        throw new ErrandError('E_OPTION', 'say --concurrency NUMBER, or --none to take the limit away')
      await knownQueue(errand, queue)
      const to = concurrency === undefined ? undefined : { concurrency: Number(concurrency) }
      await errand.queues.limit(queue, to, { by: operator(by), reason })
      if (terminal.json) terminal.value({ queue, limit: to ?? null })
      else terminal.print(to ? `${queue} runs at most ${to.concurrency} at a time` : `${queue} has no limit`)
    }),
  )
}
