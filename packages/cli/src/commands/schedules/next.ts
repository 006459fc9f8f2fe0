import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { positiveNumber } from '../../options/parse.ts'
import { relative } from '../../output/times.ts'
import { knownSchedule } from './known.ts'

interface Options {
  readonly count: number
}

export function next(schedules: Command): void {
  const command = schedules
    .command('next')
    .description('show the next ticks of a schedule, by the clock of its zone')
    .argument('<name>')
    .option('--count <n>', 'how many', positiveNumber, 10)
  action<Options, [string]>(command, ({ terminal, global }, { count }, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { zone } = await knownSchedule(errand, name)
      const ticks = await errand.schedules.next(name, { count })
      if (terminal.json) return terminal.value(ticks)
      if (ticks.length === 0) return terminal.note(`${name} has no more ticks`)
      const now = Date.now()
      const rows = ticks.map((at, index) => ({ at, before: ticks[index - 1] }))
      terminal.table(
        [
          { title: 'TICK', value: ({ at }) => format(at, zone) },
          { title: '', value: ({ at }) => relative(at.getTime(), now), align: 'right' },
          {
            title: '',
            value: ({ at, before }) =>
              before && readOffset(at, zone) !== readOffset(before, zone)
                ? 'the clock has changed before it'
                : '',
            paint: (text) => terminal.paint('warn', text),
          },
        ],
        rows,
      )
    }),
  )
}

/** By the clock of the zone, with its distance from UTC: `Sun 2027-03-28 03:00:00 +02:00`. */
function format(at: Date, zone: string): string {
  const parts = readParts(at, zone, {
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  })
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? ''
  const date = `${part('year')}-${part('month')}-${part('day')}`
  const time = `${part('hour')}:${part('minute')}:${part('second')}`
  return `${part('weekday')} ${date} ${time} ${readOffset(at, zone)}`
}

function readOffset(at: Date, zone: string): string {
  const offset = readParts(at, zone, { timeZoneName: 'longOffset' }).get('timeZoneName') ?? ''
  return offset.replace('GMT', '') || '+00:00'
}

function readParts(
  at: Date,
  zone: string,
  options: Intl.DateTimeFormatOptions,
): ReadonlyMap<Intl.DateTimeFormatPartTypes, string> {
  const parts = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone }).formatToParts(at)
  return new Map(parts.map(({ type, value }) => [type, value]))
}
