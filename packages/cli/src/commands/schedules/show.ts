import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { harmless } from '../../output/text.ts'
import { moment, relative } from '../../output/times.ts'
import { knownSchedule } from './known.ts'
import { describeState } from './list.ts'

export function show(schedules: Command): void {
  const command = schedules
    .command('show')
    .description('show a schedule: its rules, its ticks, and what was done to it')
    .argument('<name>')
  action<object, [string]>(command, ({ terminal, global }, _options, name) =>
    withErrand(terminal, global, async ({ errand }) => {
      const schedule = await knownSchedule(errand, name)
      if (terminal.json) return terminal.value(schedule)
      const now = Date.now()
      const when = (date: Date | undefined): string | undefined =>
        date && `${moment(date.getTime())} (${relative(date.getTime(), now)})`
      const { trouble, jitterMs } = schedule
      const facts: readonly (readonly [string, string | undefined])[] = [
        ['schedule', terminal.paint('strong', schedule.name)],
        ['job', harmless(schedule.job)],
        ['from', schedule.from],
        ['state', describeState(schedule) || undefined],
      ]
      const rest: typeof facts = [
        ['times', schedule.times],
        ['jitter', jitterMs === 0 ? undefined : `${jitterMs} ms`],
        ['until', when(schedule.until)],
        ['missed', schedule.missed],
        ['overlap', schedule.overlap],
        ['next', when(schedule.next)],
        ['last', when(schedule.last)],
        ['last job', schedule.lastJob],
        ['left out', String(schedule.leftOut)],
        ['trouble', trouble && terminal.paint('bad', `${when(trouble.at)}: ${harmless(trouble.error)}`)],
      ]
      for (const [fact, value] of schedule.unreadable ? facts : [...facts, ...rest]) {
        if (value !== undefined) terminal.print(`${terminal.paint('faint', fact.padEnd(11))} ${value}`)
      }
      if (schedule.acts.length === 0) return
      terminal.print('')
      terminal.table(
        [
          { title: 'TIME', value: ({ at }) => moment(at.getTime()) },
          { title: 'ACT', value: ({ what }) => what },
          { title: 'BY', value: ({ by }) => harmless(by) },
          { title: '', value: ({ reason }) => harmless(reason ?? ''), flexible: true },
        ],
        schedule.acts,
      )
    }),
  )
}
