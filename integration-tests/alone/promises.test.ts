// A promise of the public API keeps its process alive until it is settled, and an idle instance does not, with every log and
// driver. Scripts that have nothing else to do show it, two at a time; when they are repeated, beside a loop that takes a core.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker as Thread } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createErrand } from '@errand/core'
import { logFromUrl } from '../services/logs.ts'
import { systemClock } from '@errand/core/ports'
import { checkOutput, quietLogger } from '@errand/testkit'
import { forgetful, queueNames, stories } from './app/stories.ts'
import { makePlace, places } from '../fleet/shared.ts'
import type { PlaceEnv } from '../fleet/shared.ts'

/** How often each script runs: `ERRAND_TEST_REPEATS=30` to find failures that are rare. */
const repeats = Number(process.env['ERRAND_TEST_REPEATS'] ?? '1')
const atOnce = 2
const script = fileURLToPath(new URL('app/script.ts', import.meta.url))

/** What it wrote, and how it ended. */
async function run(story: string, env: PlaceEnv): Promise<string> {
  const child = spawn(process.execPath, [script, story], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  checkOutput(child)
  let told = ''
  const tell = (chunk: Buffer): void => void (told += chunk.toString())
  child.stdout.on('data', tell)
  child.stderr.on('data', tell)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return `${told}exit ${code ?? signal}`
}

/** What was awaited, and how the runs ended that did not have all their answers, or did not end well. */
async function runAll(
  stories: readonly string[],
  env: PlaceEnv,
): Promise<{ readonly awaited: ReadonlySet<string>; readonly faults: readonly string[] }> {
  const faults: string[] = []
  const awaited = new Set<string>()
  const left = Array.from({ length: repeats }, () => stories).flat()
  const line = async (): Promise<void> => {
    for (let story = left.pop(); story !== undefined; story = left.pop()) {
      const told = await run(story, env)
      for (const what of told.split('\n')) awaited.add(what)
      if (!told.endsWith('answered\nexit 0')) faults.push(`a script that ${story}:\n${told}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, line))
  return { awaited, faults }
}

/** The names of all functions of an object, and of the objects in it: `dispatch`, `jobs.get`. */
function listFunctions(api: object, prefix = ''): readonly string[] {
  return Reflect.ownKeys(api).flatMap((key) => {
    // What is hidden is for this package alone.
    if (!Object.prototype.propertyIsEnumerable.call(api, key)) return []
    const name = `${prefix}${typeof key === 'symbol' ? `[${key.description}]` : key}`
    const value: unknown = Reflect.get(api, key)
    if (typeof value === 'function') return [name]
    return typeof value === 'object' && value !== null ? listFunctions(value, `${name}.`) : []
  })
}

/** They return at once. Other functions await what they begin, or nobody does. */
const synchronous = ['wake', 'work']

describe.each(places)('alone on $title', ({ name }) => {
  const atTheEnd: (() => void | Promise<void>)[] = []
  let env: PlaceEnv
  let loop: Thread | undefined

  beforeAll(async () => {
    if (repeats > 1) loop = new Thread('for (;;);', { eval: true })
    env = makePlace(name, queueNames, (act) => atTheEnd.push(act))
    const log = logFromUrl(env.ERRAND_LOG).open({ clock: systemClock, logger: quietLogger })
    await log.migrate()
    await log.close()
  })
  afterAll(async () => {
    await loop?.terminate()
    for (const act of atTheEnd.toReversed()) await act()
  })

  // As long as any other test may take, each time.
  const timeout = 600_000 * repeats

  test('every promise keeps the process alive until it is settled', { timeout }, async () => {
    const { awaited, faults } = await runAll(Object.keys(stories), env)
    expect(faults).toEqual([])
    const promised = listFunctions(createErrand()).filter((each) => !synchronous.includes(each))
    expect(promised.filter((each) => !awaited.has(each))).toEqual([])
  })

  test('an idle instance that nobody closes lets the process end', { timeout }, async () => {
    expect((await runAll(Object.keys(forgetful), env)).faults).toEqual([])
  })
})
