import type { EventRecord, JobLog } from '@errand/core/ports'
import type { DatedAct, SeenLine } from './step-notes.ts'

/** A job with steps, and all that is known of it. */
export interface Remembering {
  readonly id: string
  readonly memory: Awaited<ReturnType<JobLog['memory']>>
  readonly events: readonly EventRecord[]
  readonly acts: readonly DatedAct[]
  readonly seen: readonly SeenLine[]
  /** The ids of messages that were acknowledged. */
  readonly sent: readonly string[]
}

export interface WrongMemory {
  readonly invariant: 'I12' | 'I14' | 'I15' | 'steps'
  readonly text: string
}

/**
 * I12: a step that is stored never acts in a later run, and gives each run the same; so does what was waited for. I14: nothing acts in a
 * run after its suspension. I15: a message that was acknowledged was received once, or is there.
 */
export function checkMemory({ id, memory, events, acts, seen, sent }: Remembering): readonly WrongMemory[] {
  const wrong: WrongMemory[] = []
  const found = (invariant: WrongMemory['invariant'], text: string): void =>
    void wrong.push({ invariant, text })
  const end = events.findLast(({ type }) => type === 'failed')
  // A job that it calls may have been cancelled.
  if (end && !end.body?.text.includes('E_CALL_FAILED'))
    found('steps', `job ${id} failed: ${end.body?.text.slice(0, 300)}`)
  const { steps, messages } = memory
  const storedIn = new Map(steps.flatMap(({ name, kind, run }) => (kind === 'step' ? [[name, run]] : [])))
  for (const { name, run } of acts) {
    const stored = storedIn.get(name)
    if (stored !== undefined && run > stored)
      found('I12', `step ${name} of job ${id} acted in run ${run}, and was stored by run ${stored}`)
  }
  for (const [name, lines] of Map.groupBy(seen, (line) => line.name)) {
    const all = new Set(lines.map(({ value }) => value))
    if (all.size > 1) found('I12', `job ${id} was given for ${name}: ${[...all].join(', then ')}`)
  }
  for (const { type, at, run } of events)
    if (type === 'suspended')
      for (const act of acts)
        if (act.run === run && act.at > at)
          found('I14', `step ${act.name} of job ${id} acted in run ${run} after it was suspended`)
  const taken = steps.flatMap(({ messageId }) => messageId ?? [])
  for (const message of sent) {
    const times =
      taken.filter((each) => each === message).length + messages.filter((each) => each.id === message).length
    if (times !== 1) found('I15', `message ${message} of job ${id} is there ${times} times`)
  }
  return wrong
}
