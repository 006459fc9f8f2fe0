import type { Command } from '../command.ts'
import { loadCommands } from '../load-commands.ts'
import type { Commands } from '../load-commands.ts'

const commands: Commands = {
  list: async () => (await import('./flows/list.ts')).list,
  show: async () => (await import('./flows/show.ts')).show,
  follow: async () => (await import('./flows/follow.ts')).follow,
  cancel: async () => (await import('./flows/acts.ts')).cancel,
  replay: async () => (await import('./flows/acts.ts')).replay,
}

export async function flows(program: Command, words: readonly string[]): Promise<void> {
  const command = program
    .command('flows')
    .description('look at jobs that were dispatched as one whole, and act on them')
  await loadCommands(command, commands, words)
}
