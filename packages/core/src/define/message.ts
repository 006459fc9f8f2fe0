import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ErrandError } from '../errors.ts'
import { checkMessageName } from '../names.ts'
import { checkOptions, describe } from '../options.ts'
import { checkSchema } from '../schema.ts'
import type { Carried, InputOf, OutputOf } from './carried.ts'

declare const types: unique symbol

/** What may be sent to a job: made by `defineMessage`. */
export interface MessageDefinition<In, Out> {
  /** A job has none, so it does not pass for a message. */
  readonly kind: 'message'
  readonly name: string
  readonly [types]?: { readonly in: (payload: In) => void; readonly out: Out }
}

/** A message, checked; only core reads it. */
export interface ResolvedMessage {
  readonly name: string
  readonly payload: StandardSchemaV1 | undefined
}

// Registered, as in define/job.ts.
const resolvedKey: unique symbol = Symbol.for('@errand/core:message') as never

/**
 * Defines a message: what a sender (`errand.jobs.send`) and the handler that waits for it (`ctx.receive`) share. Without a
 * `payload` the handler gets `true`.
 *
 * @throws `E_NAME`, `E_OPTION`
 * @example export const approved = defineMessage({ name: 'order.approved', payload: z.object({ by: z.string() }) })
 */
export function defineMessage<const S extends StandardSchemaV1 | undefined = undefined>(
  message: {
    /** Letters, digits and `. _ : / -`, at most 128. The log keeps the message by it. */
    readonly name: string
    /** Any Standard Schema. Its input is what is stored, checked when it is sent and parsed again where it is received. */
    readonly payload?: S
  } & (S extends StandardSchemaV1 ? Carried<S> : unknown),
): MessageDefinition<InputOf<S>, OutputOf<S, true>> {
  if (typeof message !== 'object' || message === null)
    throw new ErrandError('E_OPTION', `defineMessage() takes an object, not ${describe(message)}`)
  const name = checkMessageName(message.name)
  checkOptions(`message '${name}'`, message, ['name', 'payload'])
  const payload: unknown = message.payload
  if (payload !== undefined) checkSchema(`payload of message '${name}'`, payload)
  const resolved: ResolvedMessage = Object.freeze({ name, payload })
  return Object.freeze(
    Object.defineProperty({ kind: 'message' as const, name }, resolvedKey, { value: resolved }),
  )
}

/** @throws `E_OPTION` when it was not made by `defineMessage`. */
export function resolvedMessage(message: MessageDefinition<never, unknown>): ResolvedMessage {
  const resolved =
    typeof message === 'object' && message !== null ? Reflect.get(message, resolvedKey) : undefined
  if (resolved) return resolved as ResolvedMessage
  throw new ErrandError('E_OPTION', `the message is ${describe(message)}; pass what defineMessage() returned`)
}
