import { globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Servers } from '../servers/find.ts'
import type { Place, SubjectEntry } from '../subjects/subject.ts'
import { spawnChild } from './child-process.ts'
import type { Child } from './child-process.ts'
import { hasPhase } from './phases.ts'
import type { Phase } from './phases.ts'
import type { Measured, Role, Task } from './task.ts'

/** A subject as one line of the table. */
export interface Variant {
  readonly entry: SubjectEntry
  /** `name`, `name ×4`, `name +1000000`, `name @739b7e9`. */
  readonly name: string
  readonly processes: number
  /** Finished jobs that are in the log already. */
  readonly backlog: number
  /** Fleets and histories are measured only in drains. */
  readonly phases: readonly Phase[]
  /** The module of its processes, if they are of another build. */
  readonly module?: string
  /** The root of that build. */
  readonly root: string
}

export interface Round {
  readonly n: number
  readonly servers: Servers
  readonly folder: string
  /** Names that no other run has. */
  readonly run: string
  readonly number: number
}

/** Tables and queues for one phase, filled if it needs jobs. Removed at the end, except a history that took long to make. */
export interface Scene extends AsyncDisposable {
  readonly space: string
  readonly task: (role: Role, n: number) => Task
  child(task: Task): Child
  /** A role that ends by itself, in a process of its own. `ready` is called before it may go. */
  perform(role: Role, n: number, ready?: () => Promise<void>): Promise<Measured>
}

/** @param n jobs that wait in it */
export async function setScene(
  variant: Variant,
  phase: Phase,
  round: Round,
  n: number,
  profileTo?: string,
): Promise<Scene> {
  const { entry, backlog, processes, module } = variant
  const { servers, folder, run, number } = round
  const kept = backlog > 0
  const space = nameSpace(`${run}_${variant.name}_${phase.name}_${kept ? 'kept' : number}`)
  const { work, followers } = phase
  const place: Place = { space, phase: phase.name, work, followers, urls: servers.urls, folder, processes }
  const task = (role: Role, count: number): Task => ({
    subject: entry.name,
    role,
    place,
    n: count,
    servers: servers.listPids(entry.needs),
    profileTo: role === phase.act ? profileTo : undefined,
  })
  const child = (given: Task): Child => spawnChild(given, module)
  const perform: Scene['perform'] = async (role, count, ready) => {
    await using performing = child(task(role, count))
    await performing.ready
    await ready?.()
    performing.go()
    const measured = await performing.measured
    await performing.ended()
    return measured
  }
  servers.use(space)
  const remove = async (): Promise<void> => {
    await servers.wipe(entry.needs, space)
    for (const file of globSync(`${space}.db*`, { cwd: folder })) rmSync(join(folder, file))
  }
  try {
    if (kept && number === 0) await perform('backlog', backlog)
    await perform('prepare', n)
    await servers.settle(entry.needs)
  } catch (error) {
    await remove().catch(() => undefined)
    throw error
  }
  return { space, task, child, perform, [Symbol.asyncDispose]: kept ? async () => {} : remove }
}

/** A name for a schema, a prefix and a queue. PostgreSQL allows 63 bytes, and some names are made longer than this one. */
function nameSpace(name: string): string {
  return name
    .replaceAll('errand', 'e')
    .replaceAll(/[^a-z0-9]+/gi, '_')
    .toLowerCase()
}

/** Whether a variant is measured in a phase. */
export function isMeasured({ entry, phases }: Variant, phase: Phase): boolean {
  return phases.includes(phase) && hasPhase(entry.name, phase)
}
