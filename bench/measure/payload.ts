/** About 200 bytes of JSON, as most jobs have: an id, a few words, no blob. */
export interface Payload {
  readonly index: number
  readonly user: string
  readonly text: string
}

const words = 'the quick brown fox jumps over the lazy dog while five boxing wizards watch, '.repeat(2)

export function makePayload(index: number): Payload {
  return { index, user: `user-${index % 1_000}@example.com`, text: words.slice(0, 140) }
}

export function makePayloads(from: number, count: number): Payload[] {
  return Array.from({ length: count }, (_, offset) => makePayload(from + offset))
}
