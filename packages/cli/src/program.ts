import { createRequire } from 'node:module'
import { Command } from 'commander'
import { globalOptions } from './command.ts'
import { loadCommands } from './load-commands.ts'
import type { Commands } from './load-commands.ts'

const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string }

const commands: Commands = {
  init: async () => (await import('./commands/init.ts')).init,
  work: async () => (await import('./commands/work.ts')).work,
  dispatch: async () => (await import('./commands/dispatch.ts')).dispatch,
  run: async () => (await import('./commands/run.ts')).run,
  jobs: async () => (await import('./commands/jobs.ts')).jobs,
  flows: async () => (await import('./commands/flows.ts')).flows,
  events: async () => (await import('./commands/events.ts')).events,
  queues: async () => (await import('./commands/queues.ts')).queues,
  schedules: async () => (await import('./commands/schedules.ts')).schedules,
  limits: async () => (await import('./commands/limits.ts')).limits,
  workers: async () => (await import('./commands/workers.ts')).workers,
  keys: async () => (await import('./commands/keys.ts')).keys,
  transfer: async () => (await import('./commands/transfer.ts')).transfer,
  migrate: async () => (await import('./commands/migrate.ts')).migrate,
  roles: async () => (await import('./commands/roles.ts')).roles,
  prune: async () => (await import('./commands/prune.ts')).prune,
  doctor: async () => (await import('./commands/doctor.ts')).doctor,
}

/** The command line, a new one for each run, with the commands that its words may name. */
export async function program(words: readonly string[]): Promise<Command> {
  const errand = new Command('errand')
    .description('Runs jobs, and looks after them')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'show this')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    // Main reports wrong use like all other errors, in one form.
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  globalOptions(errand)
  if (words[0] !== '--version') await loadCommands(errand, commands, words)
  return errand
}
