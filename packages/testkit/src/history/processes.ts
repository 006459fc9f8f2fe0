import type { ProcessRecord, ProcessViolation, Recovery } from './types.ts'

/**
 * I8: a process stays up, or exits non-zero and says why; its memory stays bounded; and after a fault work goes on within
 * the time that was promised.
 * @example checkProcesses([{ name: 'worker 1', ended: 'SIGKILL', expected: ['SIGKILL'], said: '' }])
 */
export function checkProcesses(
  processes: readonly ProcessRecord[],
  recoveries: readonly Recovery[] = [],
): ProcessViolation[] {
  return [
    ...processes.flatMap((record) => [...faultsOfEnd(record), ...faultsOfMemory(record)]).map(i8),
    ...recoveries.flatMap(faultsOfRecovery).map(i8),
  ]
}

interface Fault {
  readonly subject: string
  readonly text: string
}

function i8({ subject, text }: Fault): ProcessViolation {
  return { invariant: 'I8', subject, text }
}

function faultsOfEnd({ name, ended, expected = [], said }: ProcessRecord): Fault[] {
  if (ended === undefined || expected.includes(ended)) return []
  const wrong = (text: string): Fault[] => [{ subject: name, text }]
  if (expected.length > 0) return wrong(`ended with ${ended} where ${expected.join(' or ')} was expected`)
  if (ended === 0) return wrong('ended with 0 although nobody had asked it to')
  if (said.trim() === '') return wrong(`ended with ${ended} and said nothing`)
  return []
}

/** Samples before this share of a life are its warm-up. */
const warmUpShare = 0.25
/** Garbage that may be left above the use of the second quarter. */
const slackBytes = 32 * 1_048_576
/** With fewer samples, growth cannot be judged. */
const leastSamples = 40

function faultsOfMemory({ name, memory }: ProcessRecord): Fault[] {
  if (!memory) return []
  const { samples, limitBytes } = memory
  const largest = Math.max(0, ...samples)
  if (largest > limitBytes) {
    const text = `used ${inMiB(largest)} of memory; the limit is ${inMiB(limitBytes)}`
    return [{ subject: name, text }]
  }
  if (samples.length < leastSamples) return []
  const from = Math.floor(samples.length * warmUpShare)
  const early = median(samples.slice(from, 2 * from))
  const late = median(samples.slice(-from))
  if (late <= early * 1.25 + slackBytes) return []
  return [{ subject: name, text: `grows without an end: from ${inMiB(early)} to ${inMiB(late)}` }]
}

function faultsOfRecovery({ what, ms, limitMs }: Recovery): Fault[] {
  if (ms === undefined) return [{ subject: what, text: 'did not come' }]
  if (ms <= limitMs) return []
  return [{ subject: what, text: `took ${Math.round(ms)} ms; the limit is ${limitMs} ms` }]
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function inMiB(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}
