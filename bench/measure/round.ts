import { setTimeout as pause } from 'node:timers/promises'
import { countKind } from '../profile/calls.ts'
import type { Written } from '../servers/server.ts'
import { drain } from './drain.ts'
import { idlePollSeconds, idleSeconds, countJobs } from './phases.ts'
import type { Phase } from './phases.ts'
import { setScene } from './scene.ts'
import type { Round, Scene, Variant } from './scene.ts'
import { startupRatio } from './startup.ts'
import type { Measured } from './task.ts'

/** The figures of one phase of one round; undefined if a subject or this machine does not show one. */
export interface Figures {
  /** Jobs per second. */
  readonly rate?: number | undefined
  /** In ms. */
  readonly latencies?: readonly number[] | undefined
  /** CPU per job of the subject's own processes, in µs. */
  readonly clientUs?: number | undefined
  /** CPU per job of the servers, in µs. */
  readonly serverUs?: number | undefined
  /** Per job. */
  readonly walBytes?: number | undefined
  readonly indexEntries?: number | undefined
  /** Tables and indexes at the end, per job. */
  readonly diskBytes?: number | undefined
  readonly statements?: number | undefined
  readonly requests?: number | undefined
  /** Of an idle worker. */
  readonly commitsPerSecond?: number | undefined
  readonly requestsPerSecond?: number | undefined
  /** Operators' lists over many waiting jobs: CPU of all processes, in ms. */
  readonly listsMs?: number | undefined
  /** CPU of `errand jobs list`, as a multiple of `node -e 0`. */
  readonly startup?: number | undefined
  /** The largest of its processes. */
  readonly rssMb?: number | undefined
}

export async function measure(variant: Variant, phase: Phase, round: Round): Promise<Figures> {
  const n = countJobs(phase, round.n)
  const { act } = phase
  await using scene = await setScene(variant, phase, round, act === 'drain' ? n : 0)
  if (act === 'startup') return { startup: await startupRatio(variant, scene, round) }
  if (act === 'idle') return await idle(variant, scene, round)
  const marks = async (): Promise<Written> => round.servers.written(variant.entry.needs)
  // Everything written before the drain belongs to the preparation.
  let from = await marks()
  const measured =
    act === 'drain'
      ? await drain(scene, variant.processes, Math.min(n, round.n))
      : [await scene.perform(act, n, async () => void (from = await marks()))]
  const figures = {
    ...computeFigures(measured),
    ...(await measureWritten(variant, phase, scene, round, from, measured)),
  }
  // A latency run mostly waits: its share of the processor says nothing.
  if (act === 'latency') return { latencies: figures.latencies, rssMb: figures.rssMb }
  if (phase.jobs === undefined) return figures
  const { cpuSeconds, serverCpuSeconds } = await scene.perform('lists', 0)
  return { ...figures, listsMs: 1_000 * (cpuSeconds + serverCpuSeconds) }
}

function computeFigures(measured: readonly Measured[]): Figures {
  const jobs = measured.reduce((sum, one) => sum + one.jobs, 0)
  const sum = (of: (one: Measured) => number): number => measured.reduce((all, one) => all + of(one), 0)
  // Each process of a fleet has measured the same servers.
  const [first, ...others] = measured
  const followers = others.filter((one) => one.jobs === 0)
  const serverSeconds = [first, ...followers].reduce((all, one) => all + (one?.serverCpuSeconds ?? 0), 0)
  // If all jobs came at once, most of the work was done before the clock ran.
  const isTimed = first?.rate !== undefined
  const calls = measured.flatMap((one) => one.calls)
  return {
    rate: first?.rate,
    latencies: first?.latencies,
    ...(isTimed
      ? { clientUs: (1e6 * sum((one) => one.cpuSeconds)) / jobs, serverUs: (1e6 * serverSeconds) / jobs }
      : {}),
    // None means that the subject uses another protocol, which is not counted.
    statements: countKind(calls, 'statement') / jobs || undefined,
    requests: countKind(calls, 'request') / jobs || undefined,
    rssMb: first?.rssMb,
  }
}

async function measureWritten(
  { entry }: Variant,
  { act, jobs: many }: Phase,
  scene: Scene,
  { servers }: Round,
  from: Written,
  measured: readonly Measured[],
): Promise<Figures> {
  const jobs = measured.reduce((sum, one) => sum + one.jobs, 0)
  const to = await servers.written(entry.needs)
  if (from.lsn === undefined || to.lsn === undefined) return {}
  // Only a drain leaves what was counted and nothing else: before the others are warm-ups, and many jobs wait in one.
  const isAlone = act === 'drain' && many === undefined
  const diskBytes = isAlone ? await servers.diskBytes(entry.needs, scene.space) : undefined
  const entries = await servers.indexEntries(entry.needs, from.lsn, to.lsn)
  return {
    walBytes: (to.walBytes - from.walBytes) / jobs,
    ...(diskBytes === undefined ? {} : { diskBytes: diskBytes / jobs }),
    ...(entries === undefined ? {} : { indexEntries: entries / jobs }),
  }
}

/** Measures the cost of an idle worker. */
async function idle({ entry }: Variant, scene: Scene, { servers }: Round): Promise<Figures> {
  await using worker = scene.child(scene.task('idle', 0))
  await worker.ready
  const polls = entry.needs.includes('sqs')
  const seconds = polls ? idlePollSeconds : idleSeconds
  const from = await servers.written(entry.needs)
  worker.go()
  await pause(1_000 * seconds)
  const to = await servers.written(entry.needs)
  const measured = await worker.finish()
  return {
    ...(from.commits === undefined || to.commits === undefined
      ? {}
      : { commitsPerSecond: (to.commits - from.commits) / seconds }),
    ...(polls ? { requestsPerSecond: countKind(measured.calls, 'request') / seconds } : {}),
    rssMb: measured.rssMb,
  }
}
