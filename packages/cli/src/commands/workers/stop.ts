import { ErrandError } from '@errand/core/ports'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { counted } from '../../output/text.ts'

interface Options {
  readonly all?: boolean | undefined
}

export function stop(workers: Command): void {
  const command = workers
    .command('stop')
    .description('ask a worker to stop, as SIGTERM would: running jobs may finish within its grace')
    .argument('[id]')
    .option('--all', 'every worker of this job log')
  action<Options, [string | undefined]>(command, ({ terminal, global }, { all = false }, id) => {
    if ((id === undefined) !== all)
      throw new ErrandError('E_OPTION', 'stop which worker? Name its id, or say --all')
    return withErrand(terminal, global, async ({ errand }) => {
      const asked = await errand.workers.stop(id)
      if (terminal.json) terminal.value({ asked })
      else
        terminal.print(`${counted(asked, 'worker')} asked to stop: running jobs may finish within the grace`)
    })
  })
}
