import type { Errand, LimitInfo, LimitKeyInfo } from '@errand/core'
import { InvalidArgumentError, Option } from 'commander'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { duration, operator } from '../../options/parse.ts'
import { closedText } from '../../output/limit-text.ts'
import { harmless, placeText } from '../../output/text.ts'
import { knownLimit } from './known.ts'

interface Options {
  readonly key?: string | undefined
  readonly by?: string | undefined
  readonly reason?: string | undefined
}

interface CloseOptions extends Options {
  /** In ms. */
  readonly for: number
}

export function close(limits: Command): void {
  const command = limits
    .command('close')
    .description('start nothing of a limit, or of one of its keys, for a time; running jobs go on')
    .argument('<name>')
    .addOption(
      new Option('--for <duration>', 'how long, such as 10m').argParser(someTime).makeOptionMandatory(),
    )
  sharedOptions(command)
  action<CloseOptions, [string]>(command, ({ terminal, global }, options, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { key, for: forMs, reason } = options
      await knownLimit(errand, name)
      await errand.limits.close(name, { key, for: forMs }, { by: operator(options.by), reason })
      const { closed, ...found } = await read(errand, name, key)
      if (terminal.json) return terminal.value({ ...found, closed })
      const state = closed ? closedText(closed, Date.now()) : 'has opened again'
      terminal.print(harmless(`${placeText(name, key)} ${state}`))
      const ofKey = key === undefined ? '' : ` --key ${key}`
      terminal.note(`errand limits open ${name}${ofKey} opens it before`)
    }),
  )
}

export function open(limits: Command): void {
  const command = limits
    .command('open')
    .description('end the closing of a limit, or of one of its keys')
    .argument('<name>')
  sharedOptions(command)
  action<Options, [string]>(command, ({ terminal, global }, { key, by, reason }, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      await knownLimit(errand, name)
      await errand.limits.open(name, { key }, { by: operator(by), reason })
      const limit = await knownLimit(errand, name)
      if (terminal.json) return terminal.value(await read(errand, name, key))
      terminal.print(`${placeText(name, key)} is open`)
      if (key !== undefined && limit.closed)
        terminal.note(`but all of ${name} is closed: errand limits open ${name}`)
    }),
  )
}

function sharedOptions(command: Command): void {
  command
    .option('--key <key>', 'only this key')
    .option('--by <name>', 'who does it (default: the user of this system)')
    .option('--reason <text>', 'why, for those who look at the limit')
}

/** A key that has no jobs and is open has no row. */
async function read(
  errand: Errand,
  name: string,
  key: string | undefined,
): Promise<LimitInfo | LimitKeyInfo> {
  if (key === undefined) return knownLimit(errand, name)
  const [found] = await errand.limits.keys(name, { key })
  return found ?? { key, ready: 0, running: 0, waiting: 0, closed: undefined }
}

function someTime(value: string): number {
  const ms = duration(value)
  if (ms === 0) throw new InvalidArgumentError('Use a duration above 0.')
  return ms
}
