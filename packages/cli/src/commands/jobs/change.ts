import { ErrandError, lanes } from '@errand/core/ports'
import type { Lane } from '@errand/core/ports'
import { Option } from 'commander'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { duration, json, moment, operator } from '../../options/parse.ts'
import { byOptions } from './bulk.ts'

interface Options {
  readonly lane?: Lane | undefined
  readonly queue?: string | undefined
  readonly at?: Date | undefined
  readonly delay?: number | undefined
  readonly payload?: string | undefined
  readonly by?: string | undefined
  readonly reason?: string | undefined
}

export function change(jobs: Command): void {
  const command = jobs
    .command('change')
    .description('edit a job that waits')
    .argument('<id>')
    .addOption(new Option('--lane <lane>', 'its priority').choices(lanes))
    .addOption(new Option('--queue <name>', 'its queue; not for a job with an ordering key'))
    .addOption(new Option('--at <date>', 'when it is due').argParser(moment))
    .addOption(
      new Option('--delay <duration>', 'due after this time; 0s means now')
        .argParser(duration)
        .conflicts('at'),
    )
    .addOption(
      new Option('--payload <json>', 'its payload: JSON, @FILE, or - for stdin; the worker checks it'),
    )
  byOptions(command)
  action<Options, [string]>(command, ({ terminal, global }, options, id) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { lane, queue, delay, reason } = options
      const at = delay === undefined ? options.at : new Date(Date.now() + delay)
      const payload = await json(options.payload)
      if ([lane, queue, at, payload].every((each) => each === undefined)) {
        throw new ErrandError('E_OPTION', 'change what? Give --lane, --queue, --at, --delay or --payload')
      }
      await errand.jobs.change(id, { lane, queue, at, payload }, { by: operator(options.by), reason })
      const job = await errand.jobs.get(id)
      if (terminal.json) terminal.value(job)
      else terminal.print(`${id} changed; it is ${job?.state ?? 'gone'}`)
    }),
  )
}
