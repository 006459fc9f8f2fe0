import type { LimitRecord, LimitState, LimitValues, Rate } from '../ports/limits.ts'

/** What somebody did to a limit. */
export interface LimitAct {
  readonly what: 'set' | 'reset' | 'closed' | 'opened'
  readonly by: string
  readonly reason?: string | undefined
  /** Ms since the epoch. */
  readonly at: number
}

/** What operators have set, in place of the declared values. Null: not limited. */
export interface LimitOverlay {
  readonly total?: number | null | undefined
  readonly perKey?: number | null | undefined
  readonly rate?: Rate | null | undefined
  readonly keyRate?: Rate | null | undefined
}

/** All that a log keeps of a limit without reading it. Times are ms since the epoch, by the log's clock. */
export interface LimitBody {
  /** The values of the workers' code. */
  readonly declared: LimitValues
  readonly declaredBy: string
  readonly declarerStartedAt: number
  readonly overlay?: LimitOverlay | undefined
  /** The newest ones, oldest first. */
  readonly acts: readonly LimitAct[]
}

const mostActs = 20

/** Undefined if nobody has declared it, or another program has written something else. */
export function readLimitBody({ body }: Pick<LimitRecord, 'body'>): LimitBody | undefined {
  try {
    const parsed = JSON.parse(body) as LimitBody
    return typeof parsed.declared === 'object' && Array.isArray(parsed.acts) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** The row with a new body. What a newer release has added to the body stays. */
export function writeLimitBody(body: LimitBody): LimitState {
  return { values: findValues(body), body: JSON.stringify(body) }
}

export function addLimitAct(body: LimitBody, act: LimitAct): LimitBody {
  return { ...body, acts: [...body.acts, act].slice(-mostActs) }
}

/** The values that apply. */
function findValues({ declared, overlay = {} }: LimitBody): LimitValues {
  const pick = <K extends keyof LimitValues>(name: K): LimitValues[K] | undefined => {
    const own = overlay[name]
    return own === undefined ? declared[name] : ((own ?? undefined) as LimitValues[K])
  }
  return { total: pick('total'), perKey: pick('perKey'), rate: pick('rate'), keyRate: pick('keyRate') }
}
