import type { JobEvent } from 'errand'
import type { LedgerLine } from '../ledger.ts'
import { auditHistory } from './history.ts'
import { auditLedger } from './ledger.ts'
import { auditOrder } from './order.ts'
import { runsOf } from './runs.ts'

/** A job as its dispatcher knows it. */
export interface Dispatched {
  readonly id: string
  readonly label: string
  readonly key: string | undefined
}

/** What the audit is given: the word of the dispatcher, of the log and of the handlers, gathered apart from each other. */
export interface Evidence {
  /** In the order of their dispatch. */
  readonly dispatched: readonly Dispatched[]
  readonly histories: ReadonlyMap<string, readonly JobEvent[]>
  readonly ledger: readonly LedgerLine[]
}

export interface Audit {
  readonly dispatched: number
  readonly succeededOnce: number
  /** Runs that were lost with their worker, and after which the job ran again. */
  readonly lostAndRunAgain: number
  readonly outOfOrder: number
  readonly events: number
  readonly lines: number
  /** One sentence for each thing that should not be; empty when all is well. */
  readonly findings: readonly string[]
}

export function audit({ dispatched, histories, ledger }: Evidence): Audit {
  const stories = dispatched.map((job) => {
    const history = histories.get(job.id) ?? []
    return { ...job, history, runs: runsOf(history) }
  })
  const order = auditOrder(stories, ledger)
  const sound = (story: Story): boolean => story.runs.filter(({ ended }) => ended === 'succeeded').length === 1
  return {
    dispatched: dispatched.length,
    succeededOnce: stories.filter(sound).length,
    lostAndRunAgain: stories
      .flatMap(({ runs }) => runs.slice(0, -1))
      .filter(({ ended }) => ended === 'lost').length,
    outOfOrder: order.length,
    events: stories.reduce((sum, { history }) => sum + history.length, 0),
    lines: ledger.length,
    findings: [...stories.flatMap(auditHistory), ...auditLedger(stories, ledger), ...order],
  }
}

/** A job with all that the log says of it. */
export interface Story extends Dispatched {
  readonly history: readonly JobEvent[]
  readonly runs: ReturnType<typeof runsOf>
}
