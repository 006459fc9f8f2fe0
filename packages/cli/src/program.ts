import { createRequire } from 'node:module'
import { Command } from 'commander'
import { globalOptions } from './command.ts'
import { dispatch } from './commands/dispatch.ts'
import { doctor } from './commands/doctor.ts'
import { events } from './commands/events.ts'
import { init } from './commands/init.ts'
import { jobs } from './commands/jobs.ts'
import { keys } from './commands/keys.ts'
import { migrate } from './commands/migrate.ts'
import { prune } from './commands/prune.ts'
import { queues } from './commands/queues.ts'
import { roles } from './commands/roles.ts'
import { run } from './commands/run.ts'
import { transfer } from './commands/transfer.ts'
import { work } from './commands/work.ts'
import { workers } from './commands/workers.ts'

const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string }

/** The whole command line, a new one for each run. */
export function program(): Command {
  const errand = new Command('errand')
    .description('Runs jobs, and looks after them')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'show this')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    // Main reports wrong use like all other errors, in one form.
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  globalOptions(errand)
  for (const add of [
    init,
    work,
    dispatch,
    run,
    jobs,
    events,
    queues,
    workers,
    keys,
    transfer,
    migrate,
    roles,
    prune,
    doctor,
  ]) {
    add(errand)
  }
  return errand
}
