import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { checkLogLines, scaleLimit } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { plantedBugs } from './planted.ts'
import type { PlantedBug } from './planted-bug.ts'
import { search } from './search-planted.ts'

const command = fileURLToPath(new URL('simulate.ts', import.meta.url))
const page = readFileSync(new URL('../../docs/simulation.md', import.meta.url), 'utf8')

const inOneTest = 500
const onSqlite = 100
/** The limit on a quiet machine. */
const patienceMs = 200_000

function simulate(...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      checkLogLines(stderr)
      resolve({
        code: typeof error?.code === 'number' ? error.code : error ? -1 : 0,
        output: stdout + stderr,
      })
    })
  })
}

describe.concurrent('the whole runtime, simulated', () => {
  it.for([1, 1 + inOneTest])(
    `whatever goes wrong, every promise is kept: ${inOneTest} seeds from %i`,
    async (from, { expect }) => {
      const { code, output } = await simulate('--from', String(from), '--runs', String(inOneTest))
      expect(output).toContain(`${inOneTest} runs from seed ${from}`)
      expect(code, output).toBe(0)
    },
  )

  it('the same on the tables of SQLite', async ({ expect }) => {
    const { code, output } = await simulate('--store', 'sqlite', '--runs', String(onSqlite))
    expect(output).toContain(`${onSqlite} runs from seed 1`)
    expect(code, output).toBe(0)
  })

  it('a seed goes one way, in this process and in every other', async ({ expect }) => {
    const once = await simulate('--from', '1', '--runs', '40', '--hashes')
    const again = await simulate('--from', '1', '--runs', '40', '--hashes')
    const alone = await simulate('--seed', '40')
    const hashes = once.output.match(/trace [\da-f]{8}/g) ?? []
    expect(hashes).toHaveLength(40)
    expect(new Set(hashes).size).toBe(40)
    expect(again.output.match(/trace [\da-f]{8}/g)).toEqual(hashes)
    // With its trace, and without the 39 runs before it.
    expect(alone.output).toContain(hashes.at(-1))
  })

  it('a run that fails prints its seed, and the replay fails in the same way', async ({ expect }) => {
    const { code, output } = await simulate('--plant', 'crashed-runs-again', '--runs', '500')
    expect(code).toBe(1)
    const verdict = /seed (\d+) failed:\n( {2}I6: .*)\n/.exec(output)
    expect(output).toContain(`replay: pnpm simulate --seed ${verdict?.[1]}`)
    const replay = await simulate('--plant', 'crashed-runs-again', '--seed', verdict?.[1] ?? '')
    expect(replay.code).toBe(1)
    expect(replay.output).toContain(verdict?.[2])
    expect(replay.output).toContain('WRONG I6')
  })
})

/** How many seeds it took to find the bug when the page was written. */
function countSeeds({ name }: PlantedBug): number {
  const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` `))
  return Number(row?.split('|')[3])
}

describe.concurrent('bugs that are planted in the real code', () => {
  // The others are found too, but cost ten times as much: `pnpm simulate --planted all`.
  const quick = plantedBugs.filter((bug) => countSeeds(bug) <= 60)

  it('are ten and more', () => expect(quick.length).toBeGreaterThan(10))

  it.for(quick)('$name is found: $what', async (bug, { expect }) => {
    const { seeds, invariants, output } = await search(bug, scaleLimit(patienceMs) / 1_000)
    expect(seeds, output).toBeGreaterThan(0)
    expect(
      bug.breaks.filter((name) => invariants.includes(name)),
      output,
    ).not.toEqual([])
  })

  it('stand in the docs, each with the seeds that it took', () => {
    const table = page.replaceAll(/ +/g, ' ')
    for (const { name, what } of plantedBugs) expect(table).toMatch(`| \`${name}\` | ${what} | `)
    expect(page).not.toContain('not found')
  })
})
