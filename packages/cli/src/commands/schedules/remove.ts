import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { knownSchedule } from './known.ts'

export function remove(schedules: Command): void {
  const command = schedules
    .command('remove')
    .alias('rm')
    .description('remove a schedule; one that workers declare comes back with the next look of such a worker')
    .argument('<name>')
  action<object, [string]>(command, ({ terminal, global }, _options, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { from, dormant } = await knownSchedule(errand, name)
      await errand.schedules.remove(name)
      if (terminal.json) return terminal.value({ schedule: name, removed: true })
      terminal.print(`${name} is removed`)
      if (from === 'code' && !dormant)
        terminal.note('workers declare it, so it comes back; take it out of their code, or pause it instead')
    }),
  )
}
