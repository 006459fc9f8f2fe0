import { finalStates } from '@errand/core/ports'
import { Option } from 'commander'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { bulkOptions, runBulk } from './bulk.ts'
import type { BulkAct, BulkOptions } from './bulk.ts'

interface Options extends BulkOptions {
  readonly forget?: boolean | undefined
}

const replaying = (forget: boolean): BulkAct => ({
  verb: 'replay',
  done: 'replayed',
  states: finalStates,
  byDefault: ['failed'],
  act: (errand, which, note, onProgress) => errand.jobs.replay(which, { ...note, forget, onProgress }),
})

export function replay(jobs: Command): void {
  const command = jobs
    .command('replay')
    .description(
      'run ended jobs again, with the same id and history; a filter without --state means failed ones',
    )
    .argument('[ids...]')
  bulkOptions(command, finalStates).addOption(
    new Option('--forget', 'begin anew: forget what its steps returned, and act as another job to the world'),
  )
  action<Options, [readonly string[]]>(command, (invocation, options, ids) =>
    runBulk(invocation, replaying(options.forget === true), ids, options),
  )
}
