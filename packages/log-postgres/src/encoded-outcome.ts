import type { Encoded, ErrorCode, NewWait, SettledOutcome, Settlement, WorkerRef } from '@errand/core/ports'
import { splitIntoBatches } from './batches.ts'
import { settleCode, stepCode } from './codes.ts'
import type { Value } from './database.ts'
import type { JointCall } from './joint-statements.ts'
import { arrayLiteral, isStorable, isUuid, jsonMembers } from './literals.ts'

/** An outcome as the function takes it: a number, and the parts that belong to it. */
export interface EncodedOutcome {
  readonly id: string
  readonly run: number
  readonly kind: number
  readonly delayMs?: number | undefined
  readonly body?: Encoded | undefined
  readonly extra?: string | null | undefined
  readonly durationMs: number
}

/**
 * An outcome with text that cannot be stored fails its job. It must not fail others, and another run would end the
 * same.
 */
export function unstorable(one: EncodedOutcome): EncodedOutcome {
  const fails = { ...one, kind: settleCode.error, delayMs: undefined, extra: jsonMembers({ cause: 'error' }) }
  if (one.kind === settleCode.succeed)
    return { ...fails, body: failureBody('result not storable', 'E_RESULT_INVALID') }
  if (one.kind === settleCode.suspend) return { ...fails, body: failureBody('waits not storable', 'E_LOG') }
  return { ...one, body: failureBody('error not storable', 'E_LOG') }
}

/** What text cannot store is replaced. */
export function encodeOutcome({ id, run, durationMs: ms, outcome }: Settlement): EncodedOutcome {
  const durationMs = Math.round(ms)
  const one: EncodedOutcome =
    outcome.kind === 'succeed'
      ? { id, run, durationMs, kind: settleCode.succeed, body: outcome.result }
      : { id, run, durationMs, ...toParts(outcome) }
  return one.body && !isStorable(one.body.text) ? unstorable(one) : one
}

type OutcomeParts = Pick<EncodedOutcome, 'kind' | 'delayMs' | 'body' | 'extra'>

function toParts(outcome: Exclude<SettledOutcome, { readonly kind: 'succeed' }>): OutcomeParts {
  switch (outcome.kind) {
    case 'error':
      return toErrorParts(settleCode.error, outcome.error, outcome.cause, outcome.retryInMs)
    case 'completed':
      return toErrorParts(settleCode.completed, outcome.error, 'error', outcome.retryInMs)
    case 'fail':
      return toErrorParts(settleCode.fail, outcome.error, outcome.cause, undefined)
    case 'snooze':
      return {
        kind: outcome.parked ? settleCode.park : settleCode.snooze,
        delayMs: Math.round(outcome.delayMs),
        extra: jsonMembers({ reason: outcome.reason }),
      }
    case 'cancel':
      return { kind: settleCode.cancel, extra: jsonMembers({ reason: outcome.reason }) }
    case 'release':
      return {
        kind: outcome.begun ? settleCode.releaseBegun : settleCode.releaseUnbegun,
        body: outcome.error,
        extra: jsonMembers({ why: outcome.why }),
      }
    case 'suspend':
      return { kind: settleCode.suspend, body: { codec: 'json', text: encodeWaits(outcome) } }
    default:
      return outcome satisfies never
  }
}

/** As the rule `suspend` reads it. */
function encodeWaits({
  waits,
  memoryVersion,
}: Extract<SettledOutcome, { readonly kind: 'suspend' }>): string {
  const encode = (wait: NewWait): Readonly<Record<string, string | number | undefined>> => {
    const { name } = wait
    const kind = stepCode[wait.kind]
    if (wait.kind === 'call') return { name, kind, on: wait.on }
    if (wait.kind === 'message') return { name, kind, on: wait.message, delay: round(wait.timeoutMs) }
    return 'at' in wait.until
      ? { name, kind, at: round(wait.until.at) }
      : { name, kind, delay: round(wait.until.delayMs) }
  }
  return JSON.stringify({ memoryVersion, waits: waits.map(encode) })
}

const round = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.round(ms))

function toErrorParts(
  kind: number,
  body: Encoded,
  cause: string,
  retryInMs: number | undefined,
): OutcomeParts {
  const delayMs = retryInMs === undefined ? undefined : Math.round(retryInMs)
  return { kind, delayMs, body, extra: jsonMembers({ cause }) }
}

function failureBody(message: string, code: ErrorCode): Encoded {
  return { codec: 'json', text: JSON.stringify({ name: 'ErrandError', message, code }) }
}

/** Cuts outcomes into batches for a statement each. */
export function splitOutcomes(encoded: readonly EncodedOutcome[]): EncodedOutcome[][] {
  return splitIntoBatches(encoded, (one) => (one.body?.text.length ?? 0) + 200)
}

/** Each outcome by the rule for it. One whose id is none goes to none. */
export function toSettleCall(part: readonly EncodedOutcome[], by: WorkerRef): JointCall {
  const known = part.filter(({ id }) => isUuid(id))
  const succeeded = known.filter(isSuccess)
  const others = succeeded.length === known.length ? [] : known.filter((one) => !isSuccess(one))
  return {
    settleSucceeded: succeeded.length > 0 ? toSucceededValues(succeeded, by) : undefined,
    settle: others.length > 0 ? toSettleValues(others, by, null) : undefined,
  }
}

export function isSuccess({ kind }: EncodedOutcome): boolean {
  return kind === settleCode.succeed
}

function toSucceededValues(part: readonly EncodedOutcome[], by: WorkerRef): readonly Value[] {
  return [
    arrayLiteral(part.map(({ id }) => id)),
    arrayLiteral(part.map(({ run }) => run)),
    arrayLiteral(part.map(({ body }) => body?.codec)),
    arrayLiteral(part.map(({ body }) => body?.text)),
    arrayLiteral(part.map(({ durationMs }) => durationMs)),
    by.id,
  ]
}

export function toSettleValues(
  part: readonly EncodedOutcome[],
  by: WorkerRef,
  lockTimeout: string | null,
): readonly Value[] {
  return [
    arrayLiteral(part.map(({ id }) => id)),
    arrayLiteral(part.map(({ run }) => run)),
    arrayLiteral(part.map(({ kind }) => kind)),
    arrayLiteral(part.map(({ delayMs }) => delayMs)),
    arrayLiteral(part.map(({ body }) => body?.codec)),
    arrayLiteral(part.map(({ body }) => body?.text)),
    arrayLiteral(part.map(({ durationMs }) => jsonMembers({ durationMs }))),
    arrayLiteral(part.map(({ extra }) => extra)),
    by.id,
    lockTimeout,
  ]
}
