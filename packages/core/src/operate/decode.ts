import { isErrandError } from '../errors.ts'
import { storedFailure } from '../failure/from-failure.ts'
import type { Failure } from '../failure/failure.ts'
import type { Belongs, Codec, Encoded } from '../ports/codec.ts'

/** The value that was stored. @throws `E_CODEC` when this process does not have the codec or its key. */
export async function decoded(codec: Codec, stored: Encoded, of: Belongs): Promise<unknown> {
  return JSON.parse(await codec.decode(stored, of))
}

/** Replaces a payload or result that this process cannot read: it lacks the key, or the text is not JSON. */
export interface Unreadable {
  readonly unreadable: string
}

/** As `decoded`, for lists: one text that cannot be read must not hide the others. */
export async function readable(codec: Codec, stored: Encoded, of: Belongs): Promise<unknown> {
  try {
    return await decoded(codec, stored, of)
  } catch (error) {
    return whyUnreadable(stored, error)
  }
}

/** As `decodedFailure`, in the same way. */
export async function readableFailure(codec: Codec, stored: Encoded, of: Belongs): Promise<Failure> {
  try {
    return await decodedFailure(codec, stored, of)
  } catch (error) {
    const code = isErrandError(error, 'E_CODEC') ? { code: error.code } : {}
    return { name: 'Unreadable', message: whyUnreadable(stored, error).unreadable, ...code }
  }
}

/** A parser's message quotes the text, so only Errand's own message is passed on. */
function whyUnreadable({ codec }: Encoded, error: unknown): Unreadable {
  return {
    unreadable: isErrandError(error, 'E_CODEC')
      ? error.message
      : `what was stored with the codec "${codec}" is not JSON`,
  }
}

/** The stored failure. If something else is stored in its place, that becomes its message. */
export async function decodedFailure(codec: Codec, stored: Encoded, of: Belongs): Promise<Failure> {
  return storedFailure(await decoded(codec, stored, of))
}
