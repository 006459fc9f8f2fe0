import { toFailure } from '../errors.ts'
import type { Failure } from '../errors.ts'
import type { Codec, Encoded } from '../ports/codec.ts'

/** The value that was stored. @throws `E_CODEC` when this process does not have the codec or its key. */
export async function decoded(codec: Codec, stored: Encoded): Promise<unknown> {
  return JSON.parse(await codec.decode(stored))
}

/** The failure that was stored; anything else that is stored in its place is told as its message. */
export async function decodedFailure(codec: Codec, stored: Encoded): Promise<Failure> {
  const value = await decoded(codec, stored)
  if (typeof value !== 'object' || value === null || !('message' in value)) return toFailure(value)
  const { message } = value
  const name = 'name' in value && typeof value.name === 'string' ? value.name : 'Error'
  const stack = 'stack' in value && typeof value.stack === 'string' ? { stack: value.stack } : {}
  return { name, message: String(message), ...stack }
}
