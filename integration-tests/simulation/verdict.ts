import type { Run } from './run.ts'

const mostLines = 120

/** What is wrong with a run, and how to see it again. */
export function describeVerdict({ seed, store, wrong, hash, steps, jobs }: Run): string {
  if (wrong.length === 0) return `seed ${seed}: all is well (${jobs} jobs, ${steps} steps, trace ${hash})`
  const each = wrong.map(({ invariant, text }) => `  ${invariant}: ${text}`)
  const command = `pnpm simulate --seed ${seed}${store === 'memory' ? '' : ` --store ${store}`}`
  return [`seed ${seed} failed:`, ...each, `  replay: ${command}`].join('\n')
}

/** The same, with the part of the trace of a replay that is about the jobs concerned. */
export async function replayed(
  run: Run,
  again: (seed: number, traced: boolean) => Promise<Run>,
): Promise<string> {
  const replay = await again(run.seed, true)
  const same =
    replay.hash === run.hash ? '' : '\nTHE REPLAY WENT ANOTHER WAY: the simulation is not deterministic'
  const ids = new Set(run.wrong.flatMap(({ text }) => text.match(/[\da-f-]{36}/g) ?? []))
  // Tickets and ledger are shown by the ends of their ids.
  const marks = [...ids].map((id) => id.slice(-6))
  const lines = (replay.trace ?? []).filter(
    (line) => marks.length === 0 || marks.some((mark) => line.includes(mark)),
  )
  return [...lines.slice(-mostLines), describeVerdict(run) + same].join('\n')
}
