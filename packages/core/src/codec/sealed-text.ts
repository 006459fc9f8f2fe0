import type { Codec } from '../ports/codec.ts'

const as = 'note'
const sealed = /^([a-z0-9-]+:[0-9a-f]{8}) ([A-Za-z0-9+/]+=*)$/

/**
 * A handler's short texts, which the log stores in readable columns: the message of a progress, the reason of an
 * outcome. With the plain codec they stay as they are.
 */
export function seal(codec: Codec, text: string, job: string): string | Promise<string> {
  const name = (encoded: { readonly codec: string; readonly text: string }): string =>
    encoded.codec === 'json' ? text : `${encoded.codec} ${encoded.text}`
  const encoded = codec.encode(JSON.stringify(text), { job, as })
  return encoded instanceof Promise ? encoded.then(name) : name(encoded)
}

/** The text again. If it was sealed with a key that this process lacks, the message of the codec. */
export async function unseal(
  codec: Codec,
  text: string | undefined,
  job: string,
): Promise<string | undefined> {
  const [, name, body] = sealed.exec(text ?? '') ?? []
  if (name === undefined || body === undefined) return text
  try {
    return String(JSON.parse(await codec.decode({ codec: name, text: body }, { job, as })))
  } catch (error) {
    return `(${(error as Error).message})`
  }
}
