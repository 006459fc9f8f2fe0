import type { Schedules } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { operator } from '../../options/parse.ts'
import { knownSchedule } from './known.ts'

interface Options {
  readonly by?: string | undefined
  readonly reason?: string | undefined
}

interface Act {
  readonly name: 'pause' | 'resume' | 'trigger'
  readonly does: string
  readonly done: (schedule: string) => string
}

const acts = {
  pause: {
    name: 'pause',
    does: 'dispatch nothing more for a schedule until it is resumed; what comes meanwhile is not made up for',
    done: (schedule) => `${schedule} is paused; errand schedules resume ${schedule}`,
  },
  resume: {
    name: 'resume',
    does: 'let a paused schedule go on from now',
    done: (schedule) => `${schedule} goes on`,
  },
  trigger: {
    name: 'trigger',
    does: 'dispatch the job of a schedule once more, now, also while it is paused',
    done: (schedule) => `${schedule} is triggered: the next worker that looks dispatches its job`,
  },
} as const satisfies Record<string, Act>

function makeCommand({ name, does, done }: Act): (schedules: Command) => void {
  return (schedules) => {
    const command = schedules
      .command(name)
      .description(does)
      .argument('<name>')
      .option('--by <name>', 'who does it (default: the user of this system)')
      .option('--reason <text>', 'why, for those who look at the schedule')
    action<Options, [string]>(command, ({ terminal, global }, { by, reason }, schedule) =>
      withErrand(terminal, global, async ({ errand }) => {
        await knownSchedule(errand, schedule)
        const act: Schedules[Act['name']] = errand.schedules[name]
        await act(schedule, { by: operator(by), reason })
        if (terminal.json) terminal.value(await errand.schedules.get(schedule))
        else terminal.print(done(schedule))
      }),
    )
  }
}

export const pause: (schedules: Command) => void = makeCommand(acts.pause)
export const resume: (schedules: Command) => void = makeCommand(acts.resume)
export const trigger: (schedules: Command) => void = makeCommand(acts.trigger)
