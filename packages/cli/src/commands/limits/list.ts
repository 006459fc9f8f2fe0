import type { LimitInfo } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { closedText, concurrencyText, ratesText, waitingText } from '../../output/limit-text.ts'

export function list(limits: Command): void {
  const command = limits.command('list').alias('ls').description('list limits, with their values and jobs')
  action<object>(command, ({ terminal, global }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const found = await errand.limits.list()
      if (terminal.json) return terminal.value(found)
      if (found.length === 0)
        return terminal.note('there are no limits; a worker declares those of its jobs when it starts')
      const now = Date.now()
      terminal.table(
        [
          { title: 'LIMIT', value: (limit) => limit.name, flexible: true },
          { title: 'CONCURRENCY', value: concurrencyText },
          { title: 'RATE', value: ratesText },
          { title: 'READY', value: (limit) => limit.ready, align: 'right' },
          { title: 'RUNNING', value: (limit) => limit.running, align: 'right' },
          { title: 'WAITING', value: waitingText, align: 'right' },
          {
            title: '',
            value: (limit) => describeState(limit, now),
            paint: (text) => terminal.paint('warn', text),
          },
        ],
        found,
      )
    }),
  )
}

/** What is not as the code says. */
export function describeState({ declared, closed, changed, acts }: LimitInfo, now: number): string {
  if (!declared) return 'no worker declares it'
  const set = acts.findLast(({ what }) => what === 'set')
  return [closed && closedText(closed, now), changed && `set by ${set?.by ?? 'an operator'}`]
    .filter(Boolean)
    .join(', ')
}
