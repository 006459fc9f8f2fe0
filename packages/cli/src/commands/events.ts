import type { JobEvent } from '@errand/core'
import type { Command } from '../command.ts'
import { action } from '../command.ts'
import { withErrand } from '../application/open.ts'
import { positiveNumber } from '../options/parse.ts'
import { eventText } from '../output/event-text.ts'
import { paintState } from '../output/paint.ts'
import type { Paint } from '../output/paint.ts'
import { harmless } from '../output/text.ts'
import { moment } from '../output/times.ts'
import { untilInterrupted } from '../until-interrupted.ts'

interface Options {
  readonly follow?: boolean | undefined
  readonly job?: string | undefined
  readonly queue?: string | undefined
  readonly tag?: string | undefined
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

export function events(program: Command): void {
  const command = program
    .command('events')
    .description('print what has happened, oldest first; with --follow what happens from now on')
    .option('-f, --follow', 'go on until Ctrl-C, or until the job of --job has ended')
    .option('--job <id>', 'of this job')
    .option('--queue <name>', 'of this queue')
    .option('--tag <tag>', 'of jobs with this tag')
    .option(
      '--after <cursor>',
      'continue after this event; the JSON has its cursor, and --follow prints it at the end',
    )
    .option('--limit <number>', 'stop after this many events', positiveNumber)
  action<Options>(command, ({ terminal, global }, options) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { follow, job, queue, tag, after, limit = Number.POSITIVE_INFINITY } = options
      await untilInterrupted(async (signal) => {
        let cursor: string | undefined
        let seen = 0
        const chosen = { job, queue, tag, after, signal }
        const source = follow ? errand.events.follow(chosen) : errand.events.read(chosen)
        for await (const event of source) {
          cursor = event.cursor
          if (terminal.json) terminal.value(event, 'line')
          else terminal.print(eventLine(event, terminal.paint))
          seen += 1
          if (seen >= limit) break
        }
        if (follow && cursor !== undefined && terminal.watched)
          terminal.note(`to go on: errand events --follow --after ${cursor}`)
      })
    }),
  )
}

function eventLine(event: JobEvent, paint: Paint): string {
  const time = paint('faint', moment(event.at.getTime()))
  const type = event.type.padEnd(16)
  const state = paintState(paint, event.state)
  return `${time}  ${event.jobId}  ${type}  ${harmless(event.name)}  ${state}  ${paint('faint', harmless(eventText(event)))}`.trimEnd()
}
