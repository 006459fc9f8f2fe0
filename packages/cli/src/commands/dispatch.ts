import type { AnyJob, DispatchOptions, Errand, Receipt } from '@errand/core'
import { lanes } from '@errand/core/ports'
import type { Lane } from '@errand/core/ports'
import { InvalidArgumentError, Option } from 'commander'
import { findJob } from '../application/definitions.ts'
import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'
import { duration, json, list, moment, pairs, path } from '../options/parse.ts'
import type { Terminal } from '../output/terminal.ts'
import { exitCodes } from '../exit-codes.ts'
import { untilInterrupted } from '../until-interrupted.ts'

interface Options {
  readonly jobs?: string | undefined
  readonly unchecked?: boolean | undefined
  readonly id?: string | undefined
  readonly lane?: Lane | undefined
  readonly queue?: string | undefined
  readonly delay?: number | undefined
  readonly at?: Date | undefined
  readonly orderingKey?: string | undefined
  readonly uniqueKey?: string | undefined
  readonly shareKey?: string | undefined
  readonly limitKey?: string | undefined
  readonly after?: readonly string[] | undefined
  readonly tag?: readonly string[] | undefined
  readonly meta?: Readonly<Record<string, string>> | undefined
  /** In ms; true means without a limit. */
  readonly wait?: number | true | undefined
}

export function dispatch(program: Command): void {
  const command = program
    .command('dispatch')
    .description('create a job')
    .argument('<name>', "the job's name")
    .argument('[payload]', 'JSON, @FILE, or - for stdin')
    .addOption(
      new Option('--jobs <file>', 'the module that defines it (default: jobs.ts, then the worker)').argParser(
        path,
      ),
    )
    .addOption(
      new Option(
        '--unchecked',
        'store it by its name only: nothing is validated, and the defaults are its policy',
      ),
    )
    .addOption(new Option('--id <uuid>', 'its id: dispatching the same id again is safe'))
    .addOption(new Option('--lane <lane>', 'its priority').choices(lanes))
    .addOption(new Option('--queue <name>', 'its queue'))
    .addOption(
      new Option('--delay <duration>', 'due after this time, such as 10m')
        .argParser(duration)
        .conflicts('at'),
    )
    .addOption(new Option('--at <date>', 'when it is due').argParser(moment))
    .addOption(new Option('--ordering-key <key>', 'jobs of one queue with one key run in order'))
    .addOption(new Option('--unique-key <key>', 'a duplicate while the key is held'))
    .addOption(new Option('--share-key <key>', 'jobs of one queue and lane take turns by it'))
    .addOption(new Option('--limit-key <key>', 'its key at the limit of the job'))
    .addOption(
      new Option(
        '--after <ids>',
        'it starts after these jobs and flows have succeeded; may be repeated',
      ).argParser(list),
    )
    .addOption(new Option('--tag <tags>', 'words to find it by; may be repeated').argParser(list))
    .addOption(
      new Option('--meta <name=value>', 'passed on to its children; may be repeated').argParser(pairs),
    )
    .addOption(new Option('--wait [duration]', 'wait for its end, and print its result').argParser(waiting))
  action<Options, [string, string | undefined]>(command, ({ terminal, global }, options, name, payloadText) =>
    withErrand(
      terminal,
      global,
      async ({ errand, project }) => {
        const payload = await json(payloadText)
        const job = options.unchecked ? await byName(name) : (await findJob(project, name, options.jobs)).job
        const receipt = await send(errand, job, payload, toOptions(options))
        if (options.wait === undefined) {
          tell(terminal, receipt)
          return exitCodes.ok
        }
        const timeout = options.wait === true ? undefined : options.wait
        let result: unknown
        const interrupted = await untilInterrupted(async (signal) => {
          // A reader of this line may press Ctrl-C. The command listens to that by now.
          if (!terminal.json) terminal.note(terminal.notePaint('faint', `${receipt.status} ${receipt.id}`))
          result = await errand.result(receipt, { timeout, signal }).catch((error: unknown) => {
            if (!signal.aborted) throw error
          })
        })
        if (interrupted) {
          const state = (await errand.jobs.get(receipt.id))?.state
          if (terminal.json) terminal.value({ ...receipt, state })
          terminal.note(
            `interrupted: the job goes on, and is ${state ?? 'gone'} now; errand jobs show ${receipt.id}`,
          )
          return exitCodes.interrupted
        }
        if (terminal.json) terminal.value({ ...receipt, state: 'succeeded', result })
        else if (result !== undefined) terminal.value(result)
        return exitCodes.ok
      },
      { createLog: true },
    ),
  )
}

/**
 * The types of the payload are lost on the command line. The schema checks it.
 * @throws like `errand.dispatch`.
 */
export function send(
  errand: Errand,
  job: AnyJob,
  payload: unknown,
  options: DispatchOptions,
): Promise<Receipt<unknown>> {
  const untyped = errand.dispatch as unknown as (
    job: AnyJob,
    payload: unknown,
    options: DispatchOptions,
  ) => Promise<Receipt<unknown>>
  return untyped(job, payload, options)
}

/** A definition that has only a name, and takes any payload. */
async function byName(name: string): Promise<AnyJob> {
  const { defineJob } = await import('@errand/core')
  const anything = {
    '~standard': { version: 1, vendor: 'errand', validate: (value: unknown) => ({ value }) },
  } as const
  return defineJob({ name, payload: anything })
}

function toOptions({
  id,
  lane,
  queue,
  delay,
  at,
  orderingKey,
  uniqueKey,
  shareKey,
  limitKey,
  after,
  tag,
  meta,
}: Options): DispatchOptions {
  const rest = { id, lane, queue, orderingKey, uniqueKey, shareKey, limitKey, after, tags: tag, meta }
  return at === undefined ? { ...rest, delay } : { ...rest, at }
}

function tell(terminal: Terminal, { id, status }: Receipt<unknown>): void {
  if (terminal.json) terminal.value({ id, status })
  else terminal.print(`${terminal.paint(status === 'added' ? 'good' : 'warn', status)} ${id}`)
}

function waiting(value: string): number {
  const ms = duration(value)
  if (ms === 0) throw new InvalidArgumentError('Use a duration above 0.')
  return ms
}
