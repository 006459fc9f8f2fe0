/**
 * Runs the simulation. `pnpm simulate` runs a fixed set of seeds, `--seconds 60` fresh seeds for a minute, `--seed 7` one
 * seed with its trace. `--planted all` (or a name) shows that planted bugs are found; `--write` writes docs/simulation.md.
 */
import { parseArgs } from 'node:util'
import { replaceGlobals } from './globals.ts'
import { plant } from './plant.ts'
import { plantedBugs } from './planted.ts'
import type { Run } from './run.ts'
import { searchPlanted } from './search-planted.ts'
import { describeVerdict, replayed } from './verdict.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    from: { type: 'string', default: '1' },
    runs: { type: 'string', default: '1000' },
    seconds: { type: 'string' },
    planted: { type: 'string' },
    write: { type: 'boolean', default: false },
    store: { type: 'string', default: 'memory' },
    hashes: { type: 'boolean', default: false },
    /** For the processes that `--planted` starts. */
    plant: { type: 'string' },
  },
})

if (values.planted === undefined) await run()
else process.exitCode = await searchPlanted(values.planted, values.write)
// Promises of killed processes are never settled, and would keep this process alive. Its output must be written first.
process.stdout.write('', () => process.exit())

async function run(): Promise<void> {
  const unplanted = plantIn(values.plant)
  replaceGlobals()
  const { simulate: runSeed } = await import('./run.ts')
  const { storeKinds } = await import('./store.ts')
  const left = unplanted()
  if (left.length > 0) throw new Error(`the bug cannot be planted: ${left.join('; ')}`)

  const store = storeKinds.find((kind) => kind === values.store)
  if (!store) throw new Error(`--store is ${values.store}; use one of ${storeKinds.join(', ')}`)
  const simulate = (seed: number, traced = false): Promise<Run> => runSeed(seed, { traced, store })

  if (values.seed !== undefined) {
    const result = await simulate(Number(values.seed), true)
    console.log(result.trace?.join('\n'))
    console.log(describeVerdict(result))
    process.exitCode = result.wrong.length > 0 ? 1 : 0
    return
  }
  // The stack traces of the many intended errors would cost more than everything else.
  Error.stackTraceLimit = 0
  const fresh = values.seconds !== undefined && values.plant === undefined
  const first = fresh ? Math.floor(Math.random() * 2 ** 31) : Number(values.from)
  const began = performance.now()
  const isOver = (runs: number): boolean =>
    values.seconds === undefined
      ? runs >= Number(values.runs)
      : performance.now() - began >= Number(values.seconds) * 1_000
  let runs = 0
  let steps = 0
  let failed = 0
  for (; !isOver(runs) && failed === 0; runs += 1) {
    const result = await simulate(first + runs)
    steps += result.steps
    if (values.hashes) console.log(describeVerdict(result))
    if (result.wrong.length === 0) continue
    failed += 1
    console.log(values.plant === undefined ? await replayed(result, simulate) : describeVerdict(result))
  }
  const seconds = ((performance.now() - began) / 1_000).toFixed(1)
  console.log(`${runs} runs from seed ${first}, ${steps} steps, ${failed} failed, ${seconds} s`)
  process.exitCode = failed > 0 ? 1 : 0
}

function plantIn(name: string | undefined): () => readonly string[] {
  if (name === undefined) return () => []
  const found = plantedBugs.find((each) => each.name === name)
  if (!found) throw new Error(`there is no planted bug ${name}`)
  return plant(found)
}
