import { rmSync, globSync } from 'node:fs'
import { join } from 'node:path'
import type { Servers } from '../servers/find.ts'
import type { Phase, Place, SubjectEntry } from '../subjects/subject.ts'
import { spawnChild } from './child-process.ts'
import { drain } from './drain.ts'
import type { Measured, Role, Task } from './task.ts'

/** A subject as one line of the table. */
export interface Variant {
  readonly entry: SubjectEntry
  /** `name`, `name ×4`, `name +1000000`. */
  readonly name: string
  readonly processes: number
  /** Finished jobs behind the queue. */
  readonly backlog: number
  /** Fleets and histories are a question of draining alone. */
  readonly phases: readonly Phase[]
}

/** What one round found. Rates in jobs per second, latencies in ms. */
export interface Figures {
  readonly enqueue1?: number
  readonly enqueueBulk?: number
  readonly drain?: number
  readonly latencies?: readonly number[]
  readonly cpuSeconds: number
  readonly rssMb: number
}

export interface Round {
  readonly n: number
  readonly servers: Servers
  readonly folder: string
  /** Names that no other run has. */
  readonly run: string
  readonly number: number
}

export async function measure(variant: Variant, round: Round): Promise<Figures> {
  const found: Partial<Record<Phase, number>> = {}
  let latencies: readonly number[] | undefined
  let cpuSeconds = 0
  let rssMb = 0
  for (const phase of variant.phases) {
    await using scene = await setScene(variant, phase, round)
    const measured: readonly Measured[] =
      phase === 'drain' ? await drain(scene, variant.processes) : [await scene.perform(phase)]
    // A latency run mostly waits: its share of the processor says nothing.
    if (phase !== 'latency') cpuSeconds += measured.reduce((sum, one) => sum + one.cpuSeconds, 0)
    rssMb = Math.max(rssMb, ...measured.map((one) => one.rssMb))
    latencies = measured[0]?.latencies ?? latencies
    const rate = measured[0]?.rate
    if (rate !== undefined) found[phase] = rate
  }
  const { enqueue1, enqueueBulk, drain: drained } = found
  return {
    ...(enqueue1 === undefined ? {} : { enqueue1 }),
    ...(enqueueBulk === undefined ? {} : { enqueueBulk }),
    ...(drained === undefined ? {} : { drain: drained }),
    ...(latencies ? { latencies } : {}),
    cpuSeconds,
    rssMb,
  }
}

/** Tables and queues for one phase, filled where it needs jobs; gone at the end, but for a history that took long to make. */
export interface Scene extends AsyncDisposable {
  readonly task: (role: Role, n?: number) => Task
  /** A role that ends by itself, in a process of its own. */
  perform(role: Role, n?: number): Promise<Measured>
}

export async function setScene(
  variant: Variant,
  phase: Phase,
  round: Round,
  profileTo?: string,
): Promise<Scene> {
  const { entry, backlog, processes } = variant
  const { servers, folder, n, run, number } = round
  const kept = backlog > 0
  const name = `${run}_${entry.name}_${phase}_${kept ? 'kept' : number}`
  const space = name.replaceAll(/[^a-z0-9]/gi, '_').toLowerCase()
  const place: Place = { space, phase, urls: servers.urls, folder, processes }
  const task = (role: Role, count = n): Task => ({
    subject: entry.name,
    role,
    place,
    n: count,
    profileTo: role === phase ? profileTo : undefined,
  })
  const perform: Scene['perform'] = async (role, count) => {
    await using child = spawnChild(task(role, count))
    await child.ready
    child.go()
    const measured = await child.measured
    await child.ended()
    return measured
  }
  servers.use(space)
  const remove = async (): Promise<void> => {
    await servers.wipe(entry.needs, space)
    for (const file of globSync(`${space}.db*`, { cwd: folder })) rmSync(join(folder, file))
  }
  try {
    if (kept && number === 0) await perform('backlog', backlog)
    await perform('prepare', phase === 'drain' ? n : 0)
    await servers.settle(entry.needs)
  } catch (error) {
    await remove().catch(() => undefined)
    throw error
  }
  return { task, perform, [Symbol.asyncDispose]: kept ? async () => {} : remove }
}
