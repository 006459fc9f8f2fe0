import type { Command } from './command.ts'

/** Adds a command to another one. `words`: what follows its name on the command line. */
type Add = (to: Command, words: readonly string[]) => void | Promise<void>

/** Commands by name, in the order of the help. Each is loaded when it is asked for. */
export type Commands = Readonly<Record<string, () => Promise<Add>>>

/** Adds the command that the first word names, or all of them, for help and for words that are no command. */
export async function loadCommands(to: Command, commands: Commands, words: readonly string[]): Promise<void> {
  const [name = '', ...rest] = words
  const named = Object.hasOwn(commands, name) ? commands[name] : undefined
  for (const load of named ? [named] : Object.values(commands)) {
    const add = await load()
    await add(to, rest)
  }
}
