import { bug } from './planted-bug.ts'
import type { PlantedBug } from './planted-bug.ts'

/** Bugs of what jobs remember and wait for. */
export const plantedInSteps: readonly PlantedBug[] = [
  bug(
    'memory-not-read',
    'A later run does not ask what the job remembers.',
    ['I12', 'I14'],
    'core/src/worker/steps/recollection.ts',
    'if (this.#parts.run === 1) return undefined\n    const steps',
    'if (this.#parts.run % 2 === 1) return undefined\n    const steps',
  ),
  bug(
    'attempt-not-given-back-at-suspend',
    'A run that waits counts as an attempt.',
    ['I7'],
    'core/src/engine/suspend.ts',
    '  row.attempt -= 1\n',
    '',
  ),
  bug(
    'over-before-it-waits',
    'A wait that was over before its job was suspended does not resume it.',
    ['liveness', 'leftover'],
    'core/src/engine/suspend.ts',
    '  const over = findOver(store, now, row)\n',
    '  const over = row.runAt === undefined || row.runAt > now ? [] : findOver(store, now, row)\n',
  ),
  bug(
    'message-taken-twice',
    'A message that was received stays there for the next wait.',
    ['I15'],
    'core/src/engine/suspend.ts',
    '    store.takeMessage(row.id, messageId)\n',
    '',
  ),
  bug(
    'message-lost',
    'A message that comes while its job runs is acknowledged and not kept.',
    ['I15'],
    'core/src/engine/messages.ts',
    '  store.addMessage(message, now)\n',
    "  if (state !== 'running') store.addMessage(message, now)\n",
  ),
  bug(
    'race-forgotten',
    'What a job remembers is given to it in the order in which its handler asks.',
    ['I12'],
    'core/src/worker/steps/releases.ts',
    'if (!first || each.order < first.order) first = each',
    'first ??= each',
  ),
  bug(
    'goes-on-after-it-was-suspended',
    'A step that is begun by a handler which was left behind acts.',
    ['I14'],
    'core/src/worker/steps/frame.ts',
    'if (this.#closed !== undefined) {\n        if (inside)',
    'if (inside && this.#closed !== undefined) {\n        if (inside)',
  ),
  bug(
    'time-over-and-nobody-looks',
    'A job that sleeps is not resumed when its time has come.',
    ['liveness'],
    'core/src/engine/sweep.ts',
    ".filter((row) => row.state === 'suspended' || !isKeyLocked(store, row))",
    ".filter((row) => row.state !== 'suspended' && !isKeyLocked(store, row))",
  ),
]
