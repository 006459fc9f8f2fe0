import type { Command } from '../command.ts'
import { loadCommands } from '../load-commands.ts'
import type { Commands } from '../load-commands.ts'

const commands: Commands = {
  list: async () => (await import('./schedules/list.ts')).list,
  show: async () => (await import('./schedules/show.ts')).show,
  next: async () => (await import('./schedules/next.ts')).next,
  pause: async () => (await import('./schedules/acts.ts')).pause,
  resume: async () => (await import('./schedules/acts.ts')).resume,
  trigger: async () => (await import('./schedules/acts.ts')).trigger,
  remove: async () => (await import('./schedules/remove.ts')).remove,
}

export async function schedules(program: Command, words: readonly string[]): Promise<void> {
  const command = program
    .command('schedules')
    .description('look at schedules, hold them, dispatch their jobs now')
  await loadCommands(command, commands, words)
}
