import type { Command } from '../command.ts'
import { loadCommands } from '../load-commands.ts'
import type { Commands } from '../load-commands.ts'

const commands: Commands = {
  list: async () => (await import('./limits/list.ts')).list,
  show: async () => (await import('./limits/show.ts')).show,
  set: async () => (await import('./limits/set.ts')).set,
  reset: async () => (await import('./limits/set.ts')).reset,
  close: async () => (await import('./limits/close.ts')).close,
  open: async () => (await import('./limits/close.ts')).open,
  remove: async () => (await import('./limits/remove.ts')).remove,
}

export async function limits(program: Command, words: readonly string[]): Promise<void> {
  const command = program
    .command('limits')
    .description('look at limits, change them for the whole fleet, close them for a time')
  await loadCommands(command, commands, words)
}
