/** The same work on Errand, its peers and the bare parts, side by side: see README.md. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killAll } from './measure/child-process.ts'
import { measure } from './measure/round.ts'
import type { Figures, Variant } from './measure/round.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { profile } from './profile/profile.ts'
import { describeRatios } from './report/ratios.ts'
import { summarize } from './report/summary.ts'
import { makeTable } from './report/table.ts'
import { Servers } from './servers/find.ts'
import type { SubjectEntry } from './subjects/subject.ts'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function bench(options: Options, servers: Servers, folder: string): Promise<boolean> {
  await servers.find(new Set(options.subjects.flatMap(({ needs }) => needs)))
  say(`${servers.what.join(' · ')} · Node ${process.version}`)
  const able = options.subjects.filter((entry) => isAble(entry, servers))
  const run = `b${randomBytes(3).toString('hex')}`
  const base = { n: options.n, servers, folder, run }

  if (options.profile) {
    for (const entry of able) process.stdout.write(`${await profile(entry, base)}\n`)
    return true
  }
  const variants = able.flatMap((entry) => listVariants(entry, options))
  const found = new Map<Variant, Figures[]>(variants.map((variant) => [variant, []]))
  const failed = new Set<string>()
  for (let number = 0; number < options.rounds; number++) {
    for (const variant of variants) {
      if (failed.has(variant.name)) continue
      say(`round ${number + 1} of ${options.rounds}: ${variant.name}`)
      try {
        found.get(variant)?.push(await measure(variant, { ...base, number }))
      } catch (error) {
        failed.add(variant.name)
        say(`${variant.name} FAILED: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  const summaries = [...found]
    .filter(([, rounds]) => rounds.length > 0)
    .map(([variant, rounds]) => summarize(variant, options.n, rounds))
  if (options.json) for (const summary of summaries) process.stdout.write(`${JSON.stringify(summary)}\n`)
  else process.stdout.write(`\n${makeTable(summaries)}\n\n${describeRatios(summaries)}\n`)
  return failed.size === 0
}

function isAble({ name, needs }: SubjectEntry, servers: Servers): boolean {
  const missing = needs.map((need) => servers.missing[need]).find((why) => why !== undefined)
  if (missing !== undefined) say(`skipped ${name}: ${missing}`)
  return missing === undefined
}

function listVariants(entry: SubjectEntry, { phases, processes, backlog }: Options): Variant[] {
  const { name } = entry
  const drain = ['drain'] as const
  const variants: Variant[] = [{ entry, name, processes: 1, backlog: 0, phases }]
  if (processes > 1)
    variants.push({ entry, name: `${name} ×${processes}`, processes, backlog: 0, phases: drain })
  if (backlog > 0 && entry.kind === 'errand')
    variants.push({ entry, name: `${name} +${backlog}`, processes: 1, backlog, phases: drain })
  return variants
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  const servers = new Servers()
  const folder = mkdtempSync(join(tmpdir(), 'errand-bench-'))
  const leave = async (): Promise<void> => {
    killAll()
    await servers.release()
    rmSync(folder, { recursive: true, force: true })
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void leave().finally(() => process.exit(130))
    })
  }
  try {
    return (await bench(options, servers, folder)) ? 0 : 1
  } finally {
    await leave()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  process.exitCode = 1
  say(error instanceof Error ? (error.stack ?? error.message) : String(error))
}
