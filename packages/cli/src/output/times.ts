const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const

/** `320 ms`, `4.2 s`, `3m 20s`, `2d 4h`: two units at most. */
export function spanText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`
  let rest = ms
  const parts: string[] = []
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count}${unit}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

/** `3m ago`, `in 2h`: one unit. */
export function relative(at: number, now: number): string {
  const ms = Math.abs(now - at)
  if (ms < 1_000) return 'now'
  const [unit, size] = units.find(([, size]) => ms >= size) ?? ['s', 1_000]
  const text = `${Math.floor(ms / size)}${unit}`
  return at > now ? `in ${text}` : `${text} ago`
}

/** Date and time in this machine's zone, to the second. */
export function moment(at: number): string {
  const date = new Date(at)
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`
}

/** Time of day, to the second. */
export function clock(at: number): string {
  const date = new Date(at)
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}
