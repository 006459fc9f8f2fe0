import type { EventRecord } from '@errand/core/ports'
import type { Stage } from './stage.ts'
import type { StepKeeper } from './step-keeper.ts'
import { checkMemory } from './step-rules.ts'

export async function checkSteps(
  stage: Stage,
  keeper: StepKeeper,
  events: readonly EventRecord[],
): Promise<void> {
  const { notes, log, scenario } = stage
  for (const { id } of scenario.steps) {
    if (!log.store.row(id)) continue
    const wrong = checkMemory({
      id,
      memory: await log.direct.memory(id),
      events: events.filter(({ jobId }) => jobId === id),
      acts: notes.acts.filter(({ job }) => job === id),
      seen: notes.seen.filter(({ job }) => job === id),
      sent: keeper.sent.flatMap((message) => (message.job === id ? [message.id] : [])),
    })
    for (const { invariant, text } of wrong) stage.found(invariant, text)
  }
}
