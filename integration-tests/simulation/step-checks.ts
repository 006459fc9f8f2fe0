import type { EventRecord } from '@errand/core/ports'
import type { Stage } from './stage.ts'
import type { StepKeeper } from './step-keeper.ts'

/**
 * I12: a step that is stored never acts in a later run, and gives each run the same; so does what was waited for. I14: nothing acts in a
 * run after its suspension. I15: a message that was acknowledged was received once, or is there.
 */
export async function checkSteps(
  stage: Stage,
  keeper: StepKeeper,
  events: readonly EventRecord[],
): Promise<void> {
  const { notes, log, scenario } = stage
  const found = (invariant: string, text: string): void => stage.found(invariant, text)
  for (const { id } of scenario.steps) {
    if (!log.store.row(id)) continue
    const end = events.findLast(({ jobId, type }) => jobId === id && type === 'failed')
    // A job that it calls may have been cancelled.
    if (end && !end.body?.text.includes('E_CALL_FAILED'))
      found('steps', `job ${id} failed: ${end.body?.text.slice(0, 300)}`)
    const { steps, messages } = await log.direct.memory(id)
    const storedIn = new Map(steps.flatMap(({ name, kind, run }) => (kind === 'step' ? [[name, run]] : [])))
    for (const { name, run } of notes.acts.filter(({ job }) => job === id)) {
      const stored = storedIn.get(name)
      if (stored !== undefined && run > stored)
        found('I12', `step ${name} of job ${id} acted in run ${run}, and was stored by run ${stored}`)
    }
    const values = Map.groupBy(
      notes.seen.filter(({ job }) => job === id),
      ({ name }) => name,
    )
    for (const [name, lines] of values) {
      const all = new Set(lines.map(({ value }) => value))
      if (all.size > 1) found('I12', `job ${id} was given for ${name}: ${[...all].join(', then ')}`)
    }
    for (const { type, at, run } of events.filter(({ jobId }) => jobId === id))
      if (type === 'suspended')
        for (const act of notes.acts)
          if (act.job === id && act.run === run && act.at > at)
            found('I14', `step ${act.name} of job ${id} acted in run ${run} after it was suspended`)
    const taken = steps.flatMap(({ messageId }) => messageId ?? [])
    for (const message of keeper.sent.filter(({ job }) => job === id)) {
      const times =
        taken.filter((each) => each === message.id).length +
        messages.filter((each) => each.id === message.id).length
      if (times !== 1) found('I15', `message ${message.id} of job ${id} is there ${times} times`)
    }
  }
}
