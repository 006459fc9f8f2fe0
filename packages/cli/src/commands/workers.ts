import type { Command } from '../command.ts'
import { loadCommands } from '../load-commands.ts'
import type { Commands } from '../load-commands.ts'

const commands: Commands = {
  list: async () => (await import('./workers/list.ts')).list,
  stop: async () => (await import('./workers/stop.ts')).stop,
}

export async function workers(program: Command, words: readonly string[]): Promise<void> {
  const command = program.command('workers').description('look at workers, and stop them')
  await loadCommands(command, commands, words)
}
