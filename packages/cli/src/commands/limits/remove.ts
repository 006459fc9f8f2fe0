import { ErrandError } from '@errand/core/ports'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { waitingText } from '../../output/limit-text.ts'
import { knownLimit } from './known.ts'

export function remove(limits: Command): void {
  const command = limits
    .command('remove')
    .alias('rm')
    .description('forget a limit that no worker declares any more; its jobs wait until one does')
    .argument('<name>')
  action<object, [string]>(command, ({ terminal, global }, _options, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const limit = await knownLimit(errand, name)
      if (!(await errand.limits.remove(name)))
        throw new ErrandError(
          'E_NOT_FOUND',
          `no worker has declared ${name}; it is listed because of its jobs, ${waitingText(limit)} of which wait`,
        )
      if (terminal.json) return terminal.value({ limit: name, removed: true })
      terminal.print(`${name} is removed`)
      terminal.note('a worker that has it in its code brings it back within half a minute')
    }),
  )
}
