import type { Rate } from '../ports/limits.ts'

// The generic cell rate algorithm (ITU-T I.371): one moment says how many tokens are left. `tat` is the moment at which all of
// them are there again.

/** Tokens are looked for again when so many of them have come, in milliseconds: not for each one of a fast rate. */
const lookEveryMs = 250
/** A moment is a number with fractions: what is a token but for its last digits is one. */
const almost = 1e-6

export function countTokens({ everyMs, burst }: Rate, tat: number | undefined, now: number): number {
  return Math.floor(burst - Math.max(0, (tat ?? now) - now) / everyMs + almost)
}

export function takeTokens({ everyMs }: Rate, tat: number | undefined, now: number, tokens: number): number {
  return Math.max(tat ?? now, now) + tokens * everyMs
}

/** When it is worth to look for tokens again. */
export function nextTokens({ everyMs, burst }: Rate, tat: number): number {
  const tokens = Math.min(Math.max(Math.ceil(lookEveryMs / everyMs), 1), burst)
  return tat - (burst - tokens) * everyMs
}
