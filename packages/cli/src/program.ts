import { createRequire } from 'node:module'
import { Command } from 'commander'
import { globalOptions } from './command.ts'
import { init } from './commands/init.ts'

const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string }

/** The whole command line, made anew for each run. */
export function program(): Command {
  const errand = new Command('errand')
    .description('Runs jobs, and looks after them')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'show this')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    // Errors of use are reported like all others: by main, in one form.
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  globalOptions(errand)
  for (const add of [init]) add(errand)
  return errand
}
