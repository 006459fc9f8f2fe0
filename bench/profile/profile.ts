import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { drain } from '../measure/drain.ts'
import { ownRoot } from '../builds.ts'
import { phaseNamed } from '../measure/phases.ts'
import { setScene } from '../measure/scene.ts'
import type { Round, Variant } from '../measure/scene.ts'
import type { Measured } from '../measure/task.ts'
import { aligned } from '../report/table.ts'
import type { SubjectEntry } from '../subjects/subject.ts'
import { topFunctions } from './cpu-profile.ts'
import type { Counted } from './calls.ts'
import { ServerTime } from './server-time.ts'

const profiled = ['enqueue1', 'drain'].map(phaseNamed)
const mostCalls = 20

/** Where a subject's time goes: its own functions, its calls to servers, and PostgreSQL's statements, if they are counted. */
export async function profile(entry: SubjectEntry, base: Omit<Round, 'number'>): Promise<string> {
  const variant: Variant = {
    entry,
    name: entry.name,
    processes: 1,
    backlog: 0,
    phases: profiled,
    root: ownRoot,
  }
  const parts: string[] = []
  if (entry.needs.includes('postgres')) parts.push(await measureLatency(variant, base))
  for (const phase of profiled) {
    const folder = join(base.folder, `${entry.name}-${phase.name}`)
    mkdirSync(folder, { recursive: true })
    const { act, name } = phase
    const waiting = act === 'drain' ? base.n : 0
    await using scene = await setScene(variant, phase, { ...base, number: 0 }, waiting, folder)
    const { postgres } = base.servers.urls
    const inside =
      entry.needs.includes('postgres') && postgres !== undefined ? new ServerTime(postgres) : undefined
    await inside?.begin()
    const measured =
      act === 'drain' ? (await drain(scene, 1, base.n))[0] : await scene.perform('enqueue1', base.n)
    parts.push(
      `${entry.name}, ${name}, ${base.n} jobs: ${describeRate(measured)} jobs/s while profiled`,
      topFunctions(folder),
      describeCalls(measured?.calls ?? [], base.n),
    )
    if (inside) parts.push(await inside.read(base.n))
  }
  return parts.join('\n\n')
}

/** The steps of one job, from the call of dispatch to the handler's start. */
async function measureLatency(variant: Variant, base: Omit<Round, 'number'>): Promise<string> {
  await using scene = await setScene(variant, phaseNamed('latency'), { ...base, number: 0 }, 0, base.folder)
  const { steps = [], latencies = [] } = await scene.perform('latency', 0)
  const often = steps.filter(({ seen }) => seen > latencies.length / 2)
  return aligned([
    [`${variant.name}, one job at a time: median time of each step`, 'ms'],
    ...often.map(({ what, ms }) => [what, ms.toFixed(2)]),
  ])
}

function describeRate(measured: Measured | undefined): string {
  return measured?.rate === undefined ? '?' : Math.round(measured.rate).toLocaleString('en')
}

function describeCalls(calls: readonly Counted[], n: number): string {
  const all = calls.reduce((sum, one) => sum + one.calls, 0)
  return aligned([
    ['calls to servers and databases', 'calls', 'per job'],
    ['all', `${all}`, (all / n).toFixed(4)],
    ...calls.slice(0, mostCalls).map(({ name, calls: count }) => [name, `${count}`, (count / n).toFixed(4)]),
  ])
}
