import type { Command } from '../command.ts'
import { cancel } from './jobs/cancel.ts'
import { change } from './jobs/change.ts'
import { list } from './jobs/list.ts'
import { replay } from './jobs/replay.ts'
import { show } from './jobs/show.ts'
import { skip } from './jobs/skip.ts'

export function jobs(program: Command): void {
  const command = program.command('jobs').description('look at jobs, and act on them')
  for (const add of [list, show, cancel, replay, skip, change]) add(command)
}
