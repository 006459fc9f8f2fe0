import type { Command } from '../command.ts'
import { list } from './workers/list.ts'
import { stop } from './workers/stop.ts'

export function workers(program: Command): void {
  const command = program.command('workers').description('look at workers, and stop them')
  for (const add of [list, stop]) add(command)
}
