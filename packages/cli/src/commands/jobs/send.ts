import type { Errand, MessageDefinition, SendOptions, SendReceipt } from '@errand/core'
import { Option } from 'commander'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { json, operator } from '../../options/parse.ts'

interface Options {
  readonly id?: string | undefined
  readonly by?: string | undefined
}

export function send(jobs: Command): void {
  const command = jobs
    .command('send')
    .description('send a message to a job, for its ctx.receive')
    .argument('<id>', "the job's id")
    .argument('<name>', "the message's name")
    .argument('[payload]', 'JSON, @FILE, or - for stdin; the worker checks it')
    .addOption(new Option('--id <uuid>', 'its id: sending the same id again is safe'))
    .addOption(
      new Option('--by <name>', "who sends it, for the job's history (default: the user of this system)"),
    )
  action<Options, [string, string, string | undefined]>(
    command,
    ({ terminal, global }, options, id, name, payloadText) =>
      withErrand(terminal, global, async ({ errand }) => {
        const payload = await json(payloadText)
        const message = await byName(name, payload !== undefined)
        const receipt = await untyped(errand, id, message, payload, {
          id: options.id,
          by: operator(options.by),
        })
        if (terminal.json) terminal.value(receipt)
        else {
          const style = receipt.status === 'sent' ? 'good' : 'warn'
          terminal.print(`${terminal.paint(style, receipt.status)} ${receipt.id}`)
        }
      }),
  )
}

/** The types of the payload are lost on the command line. */
function untyped(
  errand: Errand,
  id: string,
  message: MessageDefinition<never, unknown>,
  payload: unknown,
  options: SendOptions,
): Promise<SendReceipt> {
  return errand.jobs.send<never>(id, message, payload as never, options)
}

/** A definition that has only a name, and takes any payload. */
async function byName(name: string, hasPayload: boolean): Promise<MessageDefinition<never, unknown>> {
  const { defineMessage } = await import('@errand/core')
  if (!hasPayload) return defineMessage({ name }) as MessageDefinition<never, unknown>
  const anything = {
    '~standard': { version: 1, vendor: 'errand', validate: (value: unknown) => ({ value }) },
  } as const
  return defineMessage({ name, payload: anything })
}
