import type { Command } from '../command.ts'
import { loadCommands } from '../load-commands.ts'
import type { Commands } from '../load-commands.ts'

const commands: Commands = {
  list: async () => (await import('./jobs/list.ts')).list,
  show: async () => (await import('./jobs/show.ts')).show,
  cancel: async () => (await import('./jobs/cancel.ts')).cancel,
  replay: async () => (await import('./jobs/replay.ts')).replay,
  skip: async () => (await import('./jobs/skip.ts')).skip,
  send: async () => (await import('./jobs/send.ts')).send,
  change: async () => (await import('./jobs/change.ts')).change,
}

export async function jobs(program: Command, words: readonly string[]): Promise<void> {
  const command = program.command('jobs').description('look at jobs, and act on them')
  await loadCommands(command, commands, words)
}
