import type { Command } from '../command.ts'
import { loadCommands } from '../load-commands.ts'
import type { Commands } from '../load-commands.ts'

const commands: Commands = {
  limit: async () => (await import('./queues/limit.ts')).limit,
  list: async () => (await import('./queues/list.ts')).list,
  pause: async () => (await import('./queues/pause.ts')).pause,
  purge: async () => (await import('./queues/purge.ts')).purge,
  resume: async () => (await import('./queues/resume.ts')).resume,
}

export async function queues(program: Command, words: readonly string[]): Promise<void> {
  const command = program.command('queues').description('look at queues, hold them, empty them')
  await loadCommands(command, commands, words)
}
