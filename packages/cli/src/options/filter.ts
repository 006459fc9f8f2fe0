import { jobStates } from '@errand/core/ports'
import type { JobState } from '@errand/core/ports'
import { Option } from 'commander'
import type { Command } from 'commander'
import { past } from './parse.ts'

/** Which jobs: every condition that is given must hold. */
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
    .addOption(new Option('--job <name>', 'of this job definition'))
    .addOption(new Option('--tag <tag>', 'with this tag'))
    .addOption(new Option('--before <when>', 'dispatched before: a date, or how long ago (2h)').argParser(past))
}

export function hasFilter(options: FilterOptions): boolean {
  return [options.queue, options.state, options.job, options.tag, options.before].some((each) => each !== undefined)
}
