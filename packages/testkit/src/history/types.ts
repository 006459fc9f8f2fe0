import type { EventRecord, NeedMode, OnCrash, OnFailure } from '@errand/core/ports'

/** What is checked. Leave out what is unknown: then less is checked, and nothing is called wrong because of it. */
export interface HistoryToCheck {
  /** All events of the jobs, in any order: those of one job are ordered by their version. */
  readonly events: readonly EventRecord[]
  /** Every job whose dispatch was answered, in the order of dispatch (`readDispatched` reads it from a log). */
  readonly dispatched: readonly (string | DispatchedJob)[]
  /** What jobs need, by their ids (`readNeeds` reads it). Default nothing. */
  readonly needs?: ReadonlyMap<string, readonly NeedToCheck[]> | undefined
  /** The flows of the log (`readFlows` reads them). Default none. */
  readonly flows?: readonly FlowToCheck[] | undefined
  /** What the handlers wrote down themselves, in the order of their writing. */
  readonly ledger?: readonly LedgerLine[] | undefined
  /** The jobs that the log shows as live at the end. Every other job must have ended. */
  readonly live?: Iterable<string> | undefined
}

export interface ProcessRecord {
  /** For people. */
  readonly name: string
  /** Its exit code, or the signal that ended it. Undefined while it runs. */
  readonly ended?: number | string | undefined
  /** The ends that are right because the test caused them: `['SIGKILL']` for a killed process. Default none: it has to stay up. */
  readonly expected?: readonly (number | string)[] | undefined
  /** What it printed, on both of its outputs. */
  readonly said: string
  /** Its resident memory at even intervals, in bytes, and what it may use at most. */
  readonly memory?: { readonly samples: readonly number[]; readonly limitBytes: number } | undefined
}

/** How long one thing took to come back. */
export interface Recovery {
  /** For people: "the job of the killed worker runs again". */
  readonly what: string
  /** Counted from the end of the fault. Undefined: it did not come back in time. */
  readonly ms: number | undefined
  readonly limitMs: number
}

export interface DispatchedJob {
  readonly id: string
  /** Undefined: not known, so a failed job may or may not pass its ordering key on. */
  readonly onFailure?: OnFailure | undefined
  readonly onCrash?: OnCrash | undefined
  /** What dispatched it, if a schedule did. */
  readonly tick?: DispatchedTick | undefined
}

export interface NeedToCheck {
  /** The id of a job or a flow. */
  readonly on: string
  readonly mode: NeedMode
}

export interface FlowToCheck {
  readonly id: string
  /** The ids of its jobs and inner flows. */
  readonly members: readonly string[]
}

export interface DispatchedTick {
  /** What tells the schedule from all others of the log: its name, if none of that name was removed and set again. */
  readonly schedule: string
  /** Its moment, ms since the epoch. Undefined: an operator's trigger. */
  readonly at?: number | undefined
  /** Of its schedule, when it was dispatched. Undefined: not known. */
  readonly overlap?: 'allow' | 'skip' | undefined
}

/** One line that a handler writes: when it begins its work, and when its work is done, before it returns. */
export interface LedgerLine {
  readonly jobId: string
  readonly run: number
  readonly mark: 'began' | 'ended'
  readonly worker?: string | undefined
}

/**
 * I1 no job is lost · I2 one success · I3 one start per run, one live claim · I4 a finished job never starts again ·
 * I5 the order of keys · I6 `onCrash: 'fail'` · I7 every history is a legal path, with nothing missing · I9 needs before their
 * jobs · I10 flows end once, after their members · I11 nothing is cancelled for nothing · I16 each tick once.
 */
export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I9' | 'I10' | 'I11' | 'I16'

export interface Violation {
  readonly invariant: Invariant
  readonly jobId: string
  /** What is wrong, for a reader. */
  readonly text: string
}

/** I8, which no history shows: processes stay up, or end and say why; their memory is bounded; work goes on in time. */
export interface ProcessViolation {
  readonly invariant: 'I8'
  /** The process, or what was waited for. */
  readonly subject: string
  readonly text: string
}

/** The events of one job, by version. */
export interface JobHistory {
  readonly id: string
  readonly events: readonly EventRecord[]
  readonly onFailure: OnFailure | undefined
  readonly onCrash: OnCrash | undefined
  readonly tick: DispatchedTick | undefined
  readonly needs: readonly NeedToCheck[]
}
