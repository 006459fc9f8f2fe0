import type { LedgerLine } from '../ledger.ts'
import type { Story } from './audit.ts'

/** What the handlers say they did, held against what the log says they were granted. */
export function auditLedger(stories: readonly Story[], ledger: readonly LedgerLine[]): string[] {
  const byJob = Map.groupBy(ledger, ({ job }) => job)
  const strangers = [...byJob.keys()].filter((id) => !stories.some((story) => story.id === id))
  return [
    ...strangers.map((id) => `the handlers ran job ${id}, which nobody dispatched`),
    ...stories.flatMap((story) => auditJob(story, byJob.get(story.id) ?? [])),
  ]
}

function auditJob({ label, runs }: Story, lines: readonly LedgerLine[]): string[] {
  const findings: string[] = []
  const byRun = Map.groupBy(lines, ({ run }) => run)

  for (const [run, said] of byRun) {
    if (!runs.some((granted) => granted.run === run)) {
      findings.push(`${label}: process ${said[0]?.pid} ran it as run ${run}, which the log never granted`)
    }
    const shape = said.map(({ event }) => event).join(', ')
    if (shape !== 'start' && shape !== 'start, end') {
      findings.push(`${label}: the handlers wrote "${shape}" for run ${run}, instead of one start and one end`)
    }
  }

  for (const { run, ended } of runs) {
    const finished = byRun.get(run)?.some(({ event, ok }) => event === 'end' && ok) ?? false
    if (ended === 'succeeded' && !finished) {
      findings.push(`${label}: the log says that run ${run} succeeded, and its handler never finished it`)
    }
    // The one thing that no queue can rule out, said in the guarantees too: a worker that dies between the work and the
    // word of it leaves work that is done again. Any other second finish is a fault.
    if (ended !== 'succeeded' && ended !== 'lost' && finished) {
      findings.push(`${label}: a handler finished run ${run}, which the log ended as ${ended ?? 'nothing yet'}`)
    }
  }
  return findings
}
