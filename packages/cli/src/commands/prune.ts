import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'
import { duration } from '../options/parse.ts'
import { progress } from '../output/progress.ts'
import { counted } from '../output/text.ts'

interface Options {
  readonly succeeded?: number | undefined
  readonly failed?: number | undefined
}

export function prune(program: Command): void {
  const command = program
    .command('prune')
    .description(
      'delete ended jobs and their history past their retention; never a failed job that blocks its key',
    )
    .option(
      '--succeeded <duration>',
      'succeeded and cancelled ones older than this (default: keep of the configuration, 14d)',
      duration,
    )
    .option(
      '--failed <duration>',
      'failed ones older than this (default: keep of the configuration, 90d)',
      duration,
    )
  action<Options>(command, ({ terminal, global }, { succeeded, failed }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const line = progress(terminal, 'pruned')
      const pruned = await errand.jobs
        .prune({ succeeded, failed, onProgress: (count) => line.add(count) })
        .finally(() => line.end())
      if (terminal.json) terminal.value({ pruned })
      else terminal.print(`${counted(pruned, 'job')} pruned`)
    }),
  )
}
