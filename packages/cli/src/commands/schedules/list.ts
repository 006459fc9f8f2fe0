import type { ScheduleInfo } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { moment, relative } from '../../output/times.ts'

export function list(schedules: Command): void {
  const command = schedules.command('list').alias('ls').description('list schedules, with their next ticks')
  action<object>(command, ({ terminal, global }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const found = await errand.schedules.list()
      if (terminal.json) return terminal.value(found)
      if (found.length === 0)
        return terminal.note(
          'there are no schedules; a worker declares those of its definition when it starts',
        )
      const now = Date.now()
      const { paint } = terminal
      terminal.table(
        [
          { title: 'SCHEDULE', value: (schedule) => schedule.name, flexible: true },
          { title: 'JOB', value: (schedule) => schedule.job, flexible: true },
          { title: 'TIMES', value: (schedule) => schedule.times },
          {
            title: 'NEXT',
            value: ({ next }) => (next ? `${moment(next.getTime())} (${relative(next.getTime(), now)})` : ''),
          },
          { title: 'LAST', value: ({ last }) => (last ? relative(last.getTime(), now) : '') },
          { title: 'LEFT OUT', value: (schedule) => schedule.leftOut, align: 'right' },
          { title: '', value: describeState, paint: (text) => paint('warn', text) },
        ],
        found,
      )
    }),
  )
}

/** What keeps it from ticking. */
export function describeState({ unreadable, pausedBy, dormant, trouble, next }: ScheduleInfo): string {
  if (unreadable) return 'its row cannot be read'
  if (pausedBy !== undefined) return `paused by ${pausedBy}`
  if (dormant) return 'no worker declares it'
  if (trouble) return 'its last tick failed'
  return next ? '' : 'over'
}
