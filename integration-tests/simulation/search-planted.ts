import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
// Imported by file, because the package would load the code that bugs are planted in.
import { scaleLimit } from '../../packages/testkit/src/slowness.ts'
import { plantedBugs } from './planted.ts'
import type { PlantedBug } from './planted-bug.ts'

/** What a search for a planted bug has found. */
export interface Found {
  readonly bug: PlantedBug
  /** Seeds until one failed; undefined if none did. */
  readonly seeds: number | undefined
  /** The names of the invariants that did not hold. */
  readonly invariants: readonly string[]
  readonly output: string
}

const command = fileURLToPath(new URL('simulate.ts', import.meta.url))
const page = fileURLToPath(new URL('../../docs/simulation.md', import.meta.url))
/** Each bug must be found within it, on a quiet machine. */
const withinSeconds = 120
const atOnce = 2
const [begin, end] = ['<!-- planted: begin -->', '<!-- planted: end -->']

/** Runs the simulation over code that has the bug, in a process of its own, until a seed fails. */
export function search(bug: PlantedBug, seconds: number): Promise<Found> {
  return new Promise((resolve, reject) => {
    const args = [command, '--plant', bug.name, '--seconds', String(seconds)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)))
    child.on('error', reject)
    child.on('exit', () => {
      const failed = /^(\d+) runs from seed .* 1 failed/m.exec(output)
      const names = [...output.matchAll(/^ {2}(\w+): (?!pnpm)/gm)].flatMap(([, name]) => name ?? [])
      const seeds = failed ? Number(failed[1]) : undefined
      resolve({ bug, seeds, invariants: [...new Set(names)], output })
    })
  })
}

/** Prints how many seeds it took to find each, and with `write` writes it into the docs. Returns the exit code. */
export async function searchPlanted(name: string, write: boolean): Promise<number> {
  const wanted = plantedBugs.filter((bug) => name === 'all' || bug.name === name)
  if (wanted.length === 0) throw new Error(`there is no planted bug ${name}`)
  const found = new Map<PlantedBug, Found>()
  const waiting = [...wanted]
  const searcher = async (): Promise<void> => {
    for (let bug = waiting.shift(); bug; bug = waiting.shift()) {
      const result = await search(bug, scaleLimit(withinSeconds * 1_000) / 1_000)
      found.set(bug, result)
      const how = result.seeds === undefined ? `NOT FOUND\n${result.output}` : `seed ${result.seeds}`
      console.log(`${bug.name}: ${how} ${result.invariants.join(', ')}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, searcher))
  const results = wanted.flatMap((bug) => found.get(bug) ?? [])
  if (write) writeTable(results)
  return results.every(({ seeds }) => seeds !== undefined) ? 0 : 1
}

function writeTable(results: readonly Found[]): void {
  const rows = results.map(({ bug, seeds, invariants }) => [
    `\`${bug.name}\``,
    bug.what,
    seeds === undefined ? 'not found' : String(seeds),
    invariants.join(', '),
  ])
  const text = readFileSync(page, 'utf8')
  const [before, after] = [text.split(begin)[0], text.split(end)[1]]
  const table = aligned([['planted bug', 'what is wrong then', 'seeds', 'what did not hold'], ...rows])
  writeFileSync(page, `${before}${begin}\n\n${table}\n\n${end}${after}`)
}

/** A table of Markdown as the formatter wants it. */
function aligned([head = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0)))
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const padded = (row: readonly string[]): string => line(row.map((cell, at) => cell.padEnd(widths[at] ?? 0)))
  return [padded(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(padded)].join('\n')
}
