import type { JobState } from '@errand/core/ports'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { bulkOptions, runBulk } from './bulk.ts'
import type { BulkAct, BulkOptions } from './bulk.ts'

// In the order in which a job passes them, so that a job which moves on while they are listed is met again.
const live = ['suspended', 'scheduled', 'blocked', 'ready', 'running'] as const satisfies readonly JobState[]

const cancelling: BulkAct = {
  verb: 'cancel',
  done: 'cancelled',
  states: live,
  byDefault: live,
  act: (errand, which, note, onProgress) => errand.jobs.cancel(which, { ...note, onProgress }),
}

export function cancel(jobs: Command): void {
  const command = jobs
    .command('cancel')
    .description('cancel jobs: waiting ones at once, running ones when their handler obeys the signal')
    .argument('[ids...]')
  bulkOptions(command, live)
  action<BulkOptions, [readonly string[]]>(command, (invocation, options, ids) =>
    runBulk(invocation, cancelling, ids, options),
  )
}
