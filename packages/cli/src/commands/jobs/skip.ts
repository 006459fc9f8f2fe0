import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { bulkOptions, runBulk } from './bulk.ts'
import type { BulkAct, BulkOptions } from './bulk.ts'

const skipping: BulkAct = {
  verb: 'skip',
  done: 'skipped',
  states: ['failed'],
  byDefault: ['failed'],
  act: (errand, which, note, onProgress) => errand.jobs.skip(which, { ...note, onProgress }),
}

export function skip(jobs: Command): void {
  const command = jobs
    .command('skip')
    .description(
      'let the jobs behind a failed one go on: its ordering key goes to the next in line (see `errand keys`)',
    )
    .argument('[ids...]')
  bulkOptions(command, ['failed'])
  action<BulkOptions, [readonly string[]]>(command, (invocation, options, ids) =>
    runBulk(invocation, skipping, ids, options),
  )
}
