import type { QueueInfo, WaitingState } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'

export function list(queues: Command): void {
  const command = queues
    .command('list')
    .alias('ls')
    .description('list queues that have unfinished jobs, are paused or limited, or are served')
  action<object>(command, ({ terminal, global }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const found = await errand.queues.list()
      if (terminal.json) return terminal.value(found)
      if (found.length === 0)
        return terminal.note('no queue has unfinished jobs, is paused or limited, or is served')
      const { paint } = terminal
      terminal.table(
        [
          { title: 'QUEUE', value: (queue) => queue.name, flexible: true },
          { title: 'READY', value: count('ready'), align: 'right' },
          { title: 'SCHEDULED', value: count('scheduled'), align: 'right' },
          { title: 'BLOCKED', value: count('blocked'), align: 'right' },
          { title: 'SUSPENDED', value: count('suspended'), align: 'right' },
          { title: 'RUNNING', value: (queue) => queue.running, align: 'right' },
          {
            title: '',
            value: describe,
            paint: (text) => paint('warn', text),
          },
        ],
        found,
      )
    }),
  )
}

function describe({ paused, pausedBy, limit }: QueueInfo): string {
  const words = [
    paused ? `paused${pausedBy === undefined ? '' : ` by ${pausedBy}`}` : undefined,
    limit ? `at most ${limit.concurrency} at a time, by ${limit.by}` : undefined,
  ]
  return words.filter((word) => word !== undefined).join('; ')
}

/** An estimate is marked. */
function count(state: WaitingState): (queue: QueueInfo) => string {
  return (queue) => `${queue.estimated.includes(state) ? '~' : ''}${queue[state]}`
}
