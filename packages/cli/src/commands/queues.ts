import type { Command } from '../command.ts'
import { list } from './queues/list.ts'
import { pause } from './queues/pause.ts'
import { purge } from './queues/purge.ts'
import { resume } from './queues/resume.ts'

export function queues(program: Command): void {
  const command = program.command('queues').description('look at queues, hold them, empty them')
  for (const add of [list, pause, resume, purge]) add(command)
}
