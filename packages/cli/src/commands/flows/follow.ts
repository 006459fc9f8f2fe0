import type { FlowInfo } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { exitCodes } from '../../exit-codes.ts'
import { countsText } from '../../output/flow-text.ts'
import { paintState } from '../../output/paint.ts'
import { statusLine } from '../../output/progress.ts'
import { harmless } from '../../output/text.ts'
import { moment } from '../../output/times.ts'
import { untilInterrupted } from '../../until-interrupted.ts'
import { knownFlow } from './known.ts'

export function follow(flows: Command): void {
  const command = flows
    .command('follow')
    .description('wait for the end of a flow, and print how far it is; exits with 1 if it has not succeeded')
    .argument('<id>')
  action<object, [string]>(command, ({ terminal, global }, _options, id) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { id: flow } = await knownFlow(errand, id)
      const line = statusLine(terminal)
      let last: FlowInfo | undefined
      const interrupted = await untilInterrupted(async (signal) => {
        for await (const now of errand.flows.follow(flow, { signal })) {
          last = now
          if (terminal.json) terminal.value(now, 'line')
          else if (terminal.watched && now.state === 'running') line.show(describe(now))
          else {
            line.end()
            const time = terminal.paint('faint', moment(Date.now()))
            terminal.print(`${time}  ${paintState(terminal.paint, now.state)}  ${describe(now)}`)
          }
        }
      })
      line.end()
      if (interrupted) return exitCodes.interrupted
      return last?.state === 'succeeded' ? exitCodes.ok : exitCodes.failure
    }),
  )
}

function describe(flow: FlowInfo): string {
  const name = flow.name === undefined ? 'flow' : harmless(flow.name)
  return `${name}: ${countsText(flow, ' ended')}`
}
