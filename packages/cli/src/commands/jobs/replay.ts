import { finalStates } from '@errand/core/ports'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { bulkOptions, runBulk } from './bulk.ts'
import type { BulkAct, BulkOptions } from './bulk.ts'

const replaying: BulkAct = {
  verb: 'replay',
  done: 'replayed',
  states: finalStates,
  byDefault: ['failed'],
  act: (errand, which, note, onProgress) => errand.jobs.replay(which, { ...note, onProgress }),
}

export function replay(jobs: Command): void {
  const command = jobs
    .command('replay')
    .description(
      'run ended jobs again, with the same id and history; a filter without --state means failed ones',
    )
    .argument('[ids...]')
  bulkOptions(command, finalStates)
  action<BulkOptions, [readonly string[]]>(command, (invocation, options, ids) =>
    runBulk(invocation, replaying, ids, options),
  )
}
