/** About 200 bytes of JSON, like most jobs: an id, a few words, no blob. Some phases use larger ones. */
export interface Payload {
  readonly index: number
  readonly user: string
  readonly text: string
}

export const usualBytes = 200
/** The size of a payload without its text. */
const aroundBytes = 60

const words = 'the quick brown fox jumps over the lazy dog while five boxing wizards watch, '.repeat(2)

export function makePayload(index: number, bytes: number = usualBytes): Payload {
  const text = bytes === usualBytes ? words.slice(0, 140) : longText(index, bytes - aroundBytes)
  return { index, user: `user-${index % 1_000}@example.com`, text }
}

export function makePayloads(from: number, count: number, bytes: number = usualBytes): Payload[] {
  return Array.from({ length: count }, (_, offset) => makePayload(from + offset, bytes))
}

const mostText = 1 << 16
let random: string | undefined

/** Letters without a pattern. A database would compress a repeated sentence to almost nothing, and real payloads are not like that. */
function longText(index: number, length: number): string {
  random ??= randomText(2 * mostText)
  const from = (index * 997) % mostText
  return random.slice(from, from + length)
}

/** The same in every run. */
function randomText(length: number): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789'
  let state = 1
  let text = ''
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    text += letters[(state >>> 16) % letters.length]
  }
  return text
}
