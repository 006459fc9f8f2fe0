import { ErrandError } from '../errors.ts'
import type { Codec } from '../ports/codec.ts'

/** Stores JSON as it is: everybody who may read the database can read it. */
export const jsonCodec: Codec = {
  encode: (json) => ({ codec: 'json', text: json }),
  decode: ({ codec, text }) => {
    if (codec === 'json') return text
    throw new ErrandError(
      'E_CODEC',
      `this was stored with the codec "${codec}"; this process has only "json" (does it have the configuration of the process that stored it?)`,
    )
  },
}
