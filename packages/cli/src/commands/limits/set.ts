import type { Errand, LimitChanges, RateOptions } from '@errand/core'
import { ErrandError } from '@errand/core/ports'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { operator, orNone, positiveNumber, rate } from '../../options/parse.ts'
import { valuesText } from '../../output/limit-text.ts'
import type { Terminal } from '../../output/terminal.ts'
import { knownLimit } from './known.ts'

interface ByOptions {
  readonly by?: string | undefined
  readonly reason?: string | undefined
}

interface Options extends ByOptions {
  readonly concurrency?: number | 'none' | undefined
  readonly perKey?: number | 'none' | undefined
  readonly rate?: RateOptions | 'none' | undefined
  readonly burst?: number | undefined
  readonly keyRate?: RateOptions | 'none' | undefined
  readonly keyBurst?: number | undefined
}

export function set(limits: Command): void {
  const command = limits
    .command('set')
    .description(
      'set values of a limit for the whole fleet, in place of those of the code, until they are reset',
    )
    .argument('<name>')
    .option('--concurrency <number>', 'at most so many jobs at a time, or none', orNone(positiveNumber))
    .option('--per-key <number>', 'at most so many jobs of a key at a time, or none', orNone(positiveNumber))
    .option('--rate <rate>', 'so many starts in a time, such as 100/1m, or none', orNone(rate))
    .option('--burst <number>', 'with --rate: so many may start at once', positiveNumber)
    .option('--key-rate <rate>', 'so many starts of a key in a time, or none', orNone(rate))
    .option('--key-burst <number>', 'with --key-rate: so many of a key may start at once', positiveNumber)
  byOptions(command)
  action<Options, [string]>(command, ({ terminal, global }, options, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const changes = toChanges(options)
      await knownLimit(errand, name)
      await errand.limits.set(name, changes, { by: operator(options.by), reason: options.reason })
      await tell(terminal, errand, name, `errand limits reset ${name} goes back to the values of the code`)
    }),
  )
}

export function reset(limits: Command): void {
  const command = limits.command('reset').description('go back to the values of the code').argument('<name>')
  byOptions(command)
  action<ByOptions, [string]>(command, ({ terminal, global }, { by, reason }, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      await knownLimit(errand, name)
      await errand.limits.reset(name, { by: operator(by), reason })
      await tell(terminal, errand, name)
    }),
  )
}

function byOptions(command: Command): void {
  command
    .option('--by <name>', 'who does it (default: the user of this system)')
    .option('--reason <text>', 'why, for those who look at the limit')
}

async function tell(terminal: Terminal, errand: Errand, name: string, note?: string): Promise<void> {
  const limit = await knownLimit(errand, name)
  if (terminal.json) return terminal.value(limit)
  terminal.print(`${name}: ${valuesText(limit)}`)
  if (note !== undefined) terminal.note(note)
}

/** What is not named stays as it is. */
function toChanges({ concurrency, perKey, rate, burst, keyRate, keyBurst }: Options): LimitChanges {
  return {
    concurrency: { total: orNull(concurrency), perKey: orNull(perKey) },
    rate: { total: withBurst(rate, burst, ''), perKey: withBurst(keyRate, keyBurst, 'key-') },
  }
}

function orNull<T>(value: T | 'none'): T | null {
  return value === 'none' ? null : value
}

/** @throws `E_OPTION` */
function withBurst(
  given: RateOptions | 'none' | undefined,
  burst: number | undefined,
  prefix: string,
): RateOptions | null | undefined {
  if (burst === undefined) return orNull(given)
  if (typeof given === 'object') return { ...given, burst }
  throw new ErrandError('E_OPTION', `--${prefix}burst belongs to a rate; add --${prefix}rate, such as 100/1m`)
}
