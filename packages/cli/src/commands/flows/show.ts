import type { FlowInfo } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { positiveNumber } from '../../options/parse.ts'
import { cancelText, countsText } from '../../output/flow-text.ts'
import { paintState } from '../../output/paint.ts'
import type { Terminal } from '../../output/terminal.ts'
import { harmless } from '../../output/text.ts'
import { moment, relative } from '../../output/times.ts'
import { knownFlow } from './known.ts'
import { readTree } from './tree.ts'
import type { Branch } from './tree.ts'

interface Options {
  readonly limit: number
}

export function show(flows: Command): void {
  const command = flows
    .command('show')
    .description('show a flow as a tree: its members, their states, and why each of them waits')
    .argument('<id>')
    .option('--limit <number>', 'at most this many members', positiveNumber, 200)
  action<Options, [string]>(command, ({ terminal, global }, { limit }, id) =>
    withErrand(terminal, global, async ({ errand }) => {
      const flow = await knownFlow(errand, id)
      const { branches, more } = await readTree(errand, flow.id, limit)
      if (terminal.json) return terminal.value({ ...flow, members: branches, more })
      for (const [name, value] of facts(terminal, flow)) {
        if (value !== undefined) terminal.print(`${terminal.paint('faint', name.padEnd(11))} ${value}`)
      }
      if (branches.length === 0) return
      terminal.print('')
      printTree(terminal, branches)
      if (more) terminal.note(terminal.notePaint('faint', 'it has more members: a higher --limit'))
    }),
  )
}

function facts(terminal: Terminal, flow: FlowInfo): readonly (readonly [string, string | undefined])[] {
  const now = Date.now()
  const when = (date: Date | undefined): string | undefined =>
    date && `${moment(date.getTime())} (${relative(date.getTime(), now)})`
  const asked = cancelText(flow)
  const meta = Object.entries(flow.meta).map(([name, value]) => `${name}=${value}`)
  const { allowFailures } = flow
  return [
    ['id', terminal.paint('strong', flow.id)],
    ['flow', flow.name === undefined ? undefined : harmless(flow.name)],
    ['in flow', flow.flow],
    ['state', `${paintState(terminal.paint, flow.state)} · ${countsText(flow, ' ended')}`],
    ['cancel', asked === undefined ? undefined : harmless(asked)],
    [
      'may fail',
      allowFailures === true ? 'any number' : allowFailures === 0 ? undefined : String(allowFailures),
    ],
    ['tags', flow.tags.length > 0 ? harmless(flow.tags.join(', ')) : undefined],
    ['meta', meta.length > 0 ? harmless(meta.join(', ')) : undefined],
    ['dispatched', when(flow.dispatchedAt)],
    ['ended', when(flow.endedAt)],
  ]
}

function printTree(terminal: Terminal, branches: readonly Branch[]): void {
  terminal.table(
    [
      {
        title: 'MEMBER',
        value: ({ depth, name, isFlow }) => `${'  '.repeat(depth)}${isFlow ? `${name}:` : name}`,
        flexible: true,
      },
      {
        title: 'STATE',
        value: ({ state }) => state,
        paint: (text, { state }) => (text === state ? paintState(terminal.paint, text) : text),
      },
      { title: 'ID', value: ({ id }) => id },
      { title: '', value: ({ why }) => why, paint: (text) => terminal.paint('faint', text), flexible: true },
    ],
    branches,
  )
}
