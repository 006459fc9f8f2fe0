import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'
import { positiveNumber } from '../options/parse.ts'

interface Options {
  readonly limit: number
}

export function keys(program: Command): void {
  const command = program
    .command('keys')
    .description('list ordering keys that a failed job blocks; `errand jobs replay` or `skip` frees them')
    .option('--limit <number>', 'at most this many', positiveNumber, 100)
  action<Options>(command, ({ terminal, global }, { limit }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const found = await errand.jobs.blockedKeys({ limit })
      if (terminal.json) return terminal.value(found)
      if (found.length === 0) return terminal.note('no ordering key is blocked')
      terminal.table(
        [
          { title: 'QUEUE', value: (key) => key.queue, flexible: true },
          { title: 'KEY', value: (key) => key.key, flexible: true },
          { title: 'FAILED JOB', value: (key) => key.holder },
          { title: 'WAITING', value: (key) => key.waiting, align: 'right' },
        ],
        found,
      )
      if (found.length === limit) terminal.note('there may be more: a higher --limit')
    }),
  )
}
