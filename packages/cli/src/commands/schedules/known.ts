import type { Errand, ScheduleInfo } from '@errand/core'
import { didYouMean, ErrandError } from '@errand/core/ports'

/** The schedule of that name. @throws `E_NOT_FOUND`, with the name that was meant. */
export async function knownSchedule(errand: Errand, name: string): Promise<ScheduleInfo> {
  const schedules = await errand.schedules.list()
  const found = schedules.find((schedule) => schedule.name === name)
  if (found) return found
  const names = schedules.map((schedule) => schedule.name)
  const hint = names.length === 0 ? 'there is none at all' : didYouMean(name, names)
  throw new ErrandError('E_NOT_FOUND', `there is no schedule ${name} in this log; ${hint}`)
}
