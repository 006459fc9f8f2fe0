import type { Filter } from '@errand/core'
import { jobStates } from '@errand/core/ports'
import type { JobState } from '@errand/core/ports'
import { Option } from 'commander'
import type { Command } from 'commander'
import { past } from './parse.ts'

/** Selects jobs. All given conditions must hold. */
export interface FilterOptions {
  readonly queue?: string | undefined
  readonly state?: JobState | undefined
  readonly job?: string | undefined
  readonly tag?: string | undefined
  readonly before?: Date | undefined
}

export function filterOptions(command: Command, states: readonly JobState[] = jobStates): Command {
  return command
    .addOption(new Option('--queue <name>', 'of this queue'))
    .addOption(new Option('--state <state>', 'in this state').choices(states))
    .addOption(new Option('--job <name>', 'of this name'))
    .addOption(new Option('--tag <tag>', 'with this tag'))
    .addOption(
      new Option('--before <when>', 'dispatched before: a date, or how long ago (2h)').argParser(past),
    )
}

/** Only the conditions that were given. An empty object if there are none. */
export function toFilter({ queue, state, job, tag, before }: FilterOptions): Filter {
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(state === undefined ? {} : { state }),
    ...(job === undefined ? {} : { job }),
    ...(tag === undefined ? {} : { tag }),
    ...(before === undefined ? {} : { before }),
  }
}
