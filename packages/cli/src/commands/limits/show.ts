import type { LimitInfo, LimitKeyInfo } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { closedText, concurrencyText, ratesText, waitingText } from '../../output/limit-text.ts'
import type { Terminal } from '../../output/terminal.ts'
import { harmless } from '../../output/text.ts'
import { moment } from '../../output/times.ts'
import { knownLimit } from './known.ts'

interface Options {
  readonly key?: string | undefined
}

/** More are not shown, unless one is asked for. */
const mostKeys = 100

export function show(limits: Command): void {
  const command = limits
    .command('show')
    .description('show a limit: its values, its keys and their jobs, and what was done to it')
    .argument('<name>')
    .option('--key <key>', 'only this key')
  action<Options, [string]>(command, ({ terminal, global }, { key }, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const limit = await knownLimit(errand, name)
      const keys = await errand.limits.keys(name, { key, limit: mostKeys })
      if (terminal.json) return terminal.value({ ...limit, keys })
      printFacts(terminal, limit)
      printKeys(terminal, keys, key)
      printActs(terminal, limit)
    }),
  )
}

function printFacts(terminal: Terminal, limit: LimitInfo): void {
  const { name, declared, changed, closed, ready, running } = limit
  const facts = [
    ['limit', terminal.paint('strong', name)],
    ['state', declared ? undefined : terminal.paint('bad', 'no worker declares it, so its jobs wait')],
    ['closed', closed && terminal.paint('warn', harmless(closedText(closed, Date.now())))],
    ['concurrency', concurrencyText(limit)],
    ['rate', ratesText(limit)],
    ['values', changed ? 'an operator has set some of them; errand limits reset' : undefined],
    ['jobs', `${ready} ready, ${running} running, ${waitingText(limit)} waiting`],
  ] as const
  for (const [fact, value] of facts) {
    if (value) terminal.print(`${terminal.paint('faint', fact.padEnd(11))} ${value}`)
  }
}

function printKeys(terminal: Terminal, found: readonly LimitKeyInfo[], asked: string | undefined): void {
  // The only key of a limit without keys is empty.
  const keys = found.filter(({ key }) => key !== '')
  if (keys.length === 0) {
    if (asked !== undefined) terminal.note(`no job has the key ${harmless(asked)}, and it is not closed`)
    return
  }
  const now = Date.now()
  terminal.print('')
  terminal.table(
    [
      { title: 'KEY', value: ({ key }) => key, flexible: true },
      { title: 'READY', value: ({ ready }) => ready, align: 'right' },
      { title: 'RUNNING', value: ({ running }) => running, align: 'right' },
      { title: 'WAITING', value: waitingText, align: 'right' },
      {
        title: '',
        value: ({ closed }) => (closed ? closedText(closed, now) : ''),
        paint: (text) => terminal.paint('warn', text),
      },
    ],
    keys,
  )
  if (keys.length === mostKeys) terminal.note('there may be more: --key shows one of them')
}

function printActs(terminal: Terminal, { acts }: LimitInfo): void {
  if (acts.length === 0) return
  terminal.print('')
  terminal.table(
    [
      { title: 'TIME', value: ({ at }) => moment(at.getTime()) },
      { title: 'ACT', value: ({ what }) => what },
      { title: 'BY', value: ({ by }) => by },
      { title: '', value: ({ reason }) => reason ?? '', flexible: true },
    ],
    acts,
  )
}
