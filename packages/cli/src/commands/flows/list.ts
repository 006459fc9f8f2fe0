import type { FlowInfo } from '@errand/core'
import { Option } from 'commander'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { positiveNumber } from '../../options/parse.ts'
import { cancelText, countsText } from '../../output/flow-text.ts'
import { paintState } from '../../output/paint.ts'
import { relative } from '../../output/times.ts'

interface Options {
  readonly state?: FlowInfo['state'] | undefined
  readonly name?: string | undefined
  readonly limit: number
  readonly after?: string | undefined
}

const states: readonly FlowInfo['state'][] = ['running', 'succeeded', 'failed', 'cancelled']

export function list(flows: Command): void {
  const command = flows
    .command('list')
    .alias('ls')
    .description('list flows, newest dispatch first; inner flows too')
    .addOption(new Option('--state <state>', 'in this state').choices(states))
    .option('--name <name>', 'with exactly this name')
    .option('--limit <number>', 'at most this many', positiveNumber, 50)
    .option('--after <id>', 'continue after this flow, the last one of the previous page')
  action<Options>(command, ({ terminal, global }, { state, name, limit, after }) =>
    withErrand(terminal, global, async ({ errand }) => {
      // One more than is shown, to see whether there are more.
      const found = await errand.flows.list({ state, name, limit: limit + 1, after })
      const shown = found.slice(0, limit)
      const next = found.length > limit ? shown.at(-1)?.id : undefined
      if (terminal.json) return terminal.value({ flows: shown, next })
      if (shown.length === 0) return terminal.note('no such flows')
      const now = Date.now()
      const { paint } = terminal
      terminal.table(
        [
          { title: 'ID', value: (flow) => flow.id },
          { title: 'FLOW', value: (flow) => flow.name ?? '', flexible: true },
          {
            title: 'STATE',
            value: (flow) => flow.state,
            paint: (text, flow) => (text === flow.state ? paintState(paint, text) : text),
          },
          { title: 'ENDED', value: (flow) => countsText(flow) },
          {
            title: 'DISPATCHED',
            value: (flow) => relative(flow.dispatchedAt.getTime(), now),
            align: 'right',
          },
          { title: '', value: note, paint: (text) => paint('faint', text), flexible: true },
        ],
        shown,
      )
      if (next !== undefined)
        terminal.note(terminal.notePaint('faint', `more: --after ${next}, or a higher --limit`))
    }),
  )
}

function note(flow: FlowInfo): string {
  const running = flow.state === 'running' ? cancelText(flow) : undefined
  return [flow.flow && `in flow ${flow.flow}`, running].filter(Boolean).join(' · ')
}
