import { checkHistory } from '@errand/testkit/history'
import type { Violation } from '@errand/testkit/history'
import type { JobEvent } from 'errand'
import type { LedgerLine } from '../ledger.ts'
import { checkSteps } from './steps.ts'
import type { Remembered } from './steps.ts'
import { toRecord } from './to-record.ts'

/** A job, from its dispatcher. */
export interface Dispatched {
  readonly id: string
  readonly label: string
  /** The steps of its handler, if it has any. */
  readonly steps?: readonly string[]
}

/** What the audit compares: the records of the dispatcher, of the log and of the handlers, made independently. */
export interface Evidence {
  /** In the order of their dispatch. */
  readonly dispatched: readonly Dispatched[]
  readonly histories: ReadonlyMap<string, readonly JobEvent[]>
  /** The steps that the log remembers, of jobs that have any. */
  readonly memories: ReadonlyMap<string, readonly Remembered[]>
  /** In the order in which the lines were written. */
  readonly ledger: readonly LedgerLine[]
}

export interface Audit {
  readonly dispatched: number
  readonly succeededOnce: number
  /** Runs that were lost, and after which the job ran again. */
  readonly lostAndRunAgain: number
  readonly outOfOrder: number
  /** Steps that have acted once. */
  readonly stepsOnce: number
  readonly events: number
  readonly lines: number
  /** One sentence for each thing that is wrong; empty if nothing is. */
  readonly findings: readonly string[]
}

/** Checks that every dispatched job has succeeded once, and that the log and the handlers agree. */
export function audit({ dispatched, histories, memories, ledger }: Evidence): Audit {
  const events = [...histories.values()].flat()
  const violations = checkHistory({
    events: events.map(toRecord),
    dispatched: dispatched.map(({ id }) => id),
    // A handler that threw has begun, and has not done its work.
    ledger: ledger.flatMap(({ mark, ...line }) =>
      mark === 'began' || mark === 'ended' ? [{ ...line, mark }] : [],
    ),
    live: [],
  })
  const successes = Map.groupBy(
    events.filter(({ type }) => type === 'succeeded'),
    ({ jobId }) => jobId,
  )
  const unsuccessful = dispatched.filter(({ id }) => !successes.has(id))
  const steps = Map.groupBy(
    ledger.filter(({ mark }) => mark === 'acted'),
    ({ jobId, step }) => `${jobId} ${step}`,
  )
  const labels = new Map(dispatched.map(({ id, label }) => [id, label]))
  return {
    dispatched: dispatched.length,
    succeededOnce: dispatched.filter(({ id }) => successes.get(id)?.length === 1).length,
    lostAndRunAgain: [...histories.values()].reduce((sum, history) => sum + lostAndRunAgain(history), 0),
    outOfOrder: new Set(violations.filter(({ invariant }) => invariant === 'I5').map(({ jobId }) => jobId))
      .size,
    stepsOnce: [...steps.values()].filter((lines) => lines.length === 1).length,
    events: events.length,
    lines: ledger.length,
    findings: [
      ...unsuccessful.map(({ label, id }) => `${label} never succeeded (job ${id})`),
      ...violations.map((violation) => sentence(violation, labels)),
      ...dispatched.flatMap((job) => checkSteps(job, memories.get(job.id) ?? [], ledger)),
    ],
  }
}

function lostAndRunAgain(history: readonly JobEvent[]): number {
  const lastStart = history.findLastIndex(({ type }) => type === 'started')
  return history.filter(({ type }, index) => type === 'lost' && index < lastStart).length
}

function sentence({ jobId, text }: Violation, labels: ReadonlyMap<string, string>): string {
  return `${labels.get(jobId) ?? 'a job that nobody dispatched'}: ${text} (job ${jobId})`
}
