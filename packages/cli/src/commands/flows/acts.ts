import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { operator } from '../../options/parse.ts'
import { counted } from '../../output/text.ts'
import { byOptions } from '../jobs/bulk.ts'
import { knownFlow } from './known.ts'

interface Options {
  readonly by?: string | undefined
  readonly reason?: string | undefined
  readonly dryRun?: boolean | undefined
}

export function cancel(flows: Command): void {
  const command = flows
    .command('cancel')
    .description('cancel what waits in a flow and the flows in it, and ask what runs to end')
    .argument('<id>')
  byOptions(command)
  action<Options, [string]>(command, ({ terminal, global }, { by, reason }, id) =>
    withErrand(terminal, global, async ({ errand }) => {
      const flow = await knownFlow(errand, id)
      const count = await errand.flows.cancel(flow.id, { by: operator(by), reason })
      const after = await knownFlow(errand, flow.id)
      if (terminal.json) return terminal.value({ cancelled: count, flow: after })
      if (flow.state !== 'running')
        return terminal.print(`left as it is: the flow has ended, and is ${flow.state}`)
      terminal.print(`${counted(count, 'job')} cancelled or asked to end`)
      if (after.state === 'running')
        terminal.note(
          `${counted(after.open, 'member')} still open: errand flows follow ${flow.id} waits for the end`,
        )
    }),
  )
}

export function replay(flows: Command): void {
  const command = flows
    .command('replay')
    .description('run the failed and cancelled members of a flow that has ended again; the others stay')
    .argument('<id>')
    .option('--dry-run', 'only count the members')
  byOptions(command)
  action<Options, [string]>(command, ({ terminal, global }, { by, reason, dryRun }, id) =>
    withErrand(terminal, global, async ({ errand }) => {
      const flow = await knownFlow(errand, id)
      const count = await errand.flows.replay(flow.id, { by: operator(by), reason, dryRun })
      if (terminal.json) return terminal.value({ replayed: count, dryRun: dryRun === true })
      terminal.print(`${counted(count, 'member')} ${dryRun ? 'would be replayed' : 'replayed'}`)
    }),
  )
}
