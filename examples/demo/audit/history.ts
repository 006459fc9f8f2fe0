import type { Story } from './audit.ts'

/** What the log says of one job: that it ended well, once, and that no run overlapped another. */
export function auditHistory({ label, id, history, runs }: Story): string[] {
  if (history.length === 0) return [`${label}: the log knows nothing of job ${id}`]
  const findings: string[] = []

  const succeeded = history.filter(({ type }) => type === 'succeeded').length
  if (succeeded !== 1) findings.push(`${label}: succeeded ${succeeded} times`)
  const last = history.at(-1)
  if (last?.type !== 'succeeded') findings.push(`${label}: its history ends with ${last?.type}`)

  for (const [index, run] of runs.entries()) {
    if (run.run !== index + 1) findings.push(`${label}: its start number ${index + 1} is called run ${run.run}`)
    if (run.ended === undefined) findings.push(`${label}: run ${run.run} has no end in the history`)
  }
  return findings
}
