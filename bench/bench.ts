/** The same work on Errand, its peers and the bare parts, side by side: see README.md. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBuild, ownRoot } from './builds.ts'
import type { Build } from './builds.ts'
import { killAll } from './measure/child-process.ts'
import { phaseNamed, phases as allPhases } from './measure/phases.ts'
import { measure } from './measure/round.ts'
import type { Figures } from './measure/round.ts'
import { isMeasured } from './measure/scene.ts'
import type { Variant } from './measure/scene.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { profile } from './profile/profile.ts'
import { compareBuilds } from './report/against.ts'
import { describeRatios } from './report/ratios.ts'
import { summarize } from './report/summary.ts'
import { makeCostsTable, makeTable } from './report/table.ts'
import { Servers } from './servers/find.ts'
import type { SubjectEntry } from './subjects/subject.ts'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function bench(options: Options, servers: Servers, folder: string): Promise<boolean> {
  await servers.find(new Set(options.subjects.flatMap(({ needs }) => needs)))
  const load = loadavg()[0]?.toFixed(1)
  say(`${servers.what.join(' · ')} · Node ${process.version} · load ${load} at ${new Date().toISOString()}`)
  const able = options.subjects.filter((entry) => isAble(entry, servers))
  const run = `b${randomBytes(3).toString('hex')}`
  const base = { n: options.n, servers, folder, run }

  if (options.profile) {
    for (const entry of able) process.stdout.write(`${await profile(entry, base)}\n`)
    return true
  }
  await using build = options.against === undefined ? undefined : await openBuild(options.against, folder)
  const groups = able.map((entry) => listVariants(entry, options, build))
  const found = new Map(groups.flat().map((variant) => [variant, new Map<string, Figures[]>()]))
  let isWhole = true
  for (let number = 0; number < options.rounds; number++) {
    for (const variants of groups) {
      for (const phase of allPhases) {
        // In turns, so that neither build is always first.
        const turns = number % 2 === 0 ? variants : variants.toReversed()
        for (const variant of turns.filter((one) => isMeasured(one, phase))) {
          say(`round ${number + 1} of ${options.rounds}: ${variant.name} ${phase.name}`)
          try {
            const figures = await measure(variant, phase, { ...base, number })
            const rounds = found.get(variant)
            rounds?.set(phase.name, [...(rounds.get(phase.name) ?? []), figures])
          } catch (error) {
            isWhole = false
            say(
              `${variant.name} ${phase.name} FAILED: ${error instanceof Error ? error.message : String(error)}`,
            )
          }
        }
      }
    }
  }
  const summaries = [...found]
    .filter(([, phases]) => phases.size > 0)
    .map(([variant, phases]) => summarize(variant, options.n, phases))
  if (options.json) for (const summary of summaries) process.stdout.write(`${JSON.stringify(summary)}\n`)
  else {
    const pairs = groups.flatMap(([own, other]) =>
      own && other?.module !== undefined
        ? [{ subject: own.name, own: found.get(own) ?? new Map(), other: found.get(other) ?? new Map() }]
        : [],
    )
    const parts = [
      makeTable(summaries),
      makeCostsTable(summaries),
      describeRatios(summaries),
      compareBuilds(build?.name ?? '', pairs),
    ]
    process.stdout.write(`\n${parts.filter(Boolean).join('\n\n')}\n`)
  }
  return isWhole
}

function isAble({ name, needs }: SubjectEntry, servers: Servers): boolean {
  const missing = needs.map((need) => servers.missing[need]).find((why) => why !== undefined)
  if (missing !== undefined) say(`skipped ${name}: ${missing}`)
  return missing === undefined
}

/** The subject itself, that of the other build beside it, and then its fleet and its deep history. */
function listVariants(entry: SubjectEntry, options: Options, build: Build | undefined): Variant[] {
  const { phases, processes, backlog } = options
  const { name, kind } = entry
  const plain: Variant = { entry, name, processes: 1, backlog: 0, phases, root: ownRoot }
  const variants: Variant[] = [plain]
  if (build && kind === 'errand')
    variants.push({ ...plain, name: `${name} @${build.name}`, module: build.module, root: build.root })
  const drain = [phaseNamed('drain')]
  if (processes > 1) variants.push({ ...plain, name: `${name} ×${processes}`, processes, phases: drain })
  if (backlog > 0 && kind === 'errand')
    variants.push({ ...plain, name: `${name} +${backlog}`, backlog, phases: drain })
  return variants
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  const folder = mkdtempSync(join(tmpdir(), 'errand-bench-'))
  const servers = new Servers(folder)
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
