import { isFinal } from '@errand/core/ports'
import { readDispatched, readHistory } from '@errand/testkit/history'
import { check } from './checks.ts'
import { Dispatching } from './dispatching.ts'
import { Fleet } from './fleet.ts'
import { FlowKeeper } from './flow-keeper.ts'
import { Follower } from './follower.ts'
import { enterWorld } from './globals.ts'
import { Operator } from './operator.ts'
import { Probe } from './probe.ts'
import { ScheduleKeeper } from './schedule-keeper.ts'
import { Stage } from './stage.ts'
import type { Wrong } from './stage.ts'
import { checkSteps } from './step-checks.ts'
import { StepKeeper } from './step-keeper.ts'
import type { StoreKind } from './store.ts'
import { Trouble } from './trouble.ts'

export interface RunOptions {
  readonly traced?: boolean
  readonly store?: StoreKind
}

export interface Run {
  readonly seed: number
  readonly store: StoreKind
  /** What is wrong; empty if nothing is. */
  readonly wrong: readonly Wrong[]
  /** A hash of everything that happened: the same for the same seed. */
  readonly hash: string
  readonly steps: number
  readonly jobs: number
  /** The time from the end of all trouble until nothing was left to do. */
  readonly quietAfterMs: number
  readonly trace: readonly string[] | undefined
}

/** After the end of all faults everything must be done within this time. */
const quietWithinMs = 180_000
/** The same where each run of a job begins only when its ticket is overdue: jobs of one key wait for each other, and run again. */
const overdueWithinMs = 3_000_000
/** But something must happen all that time: a ticket is overdue after 30 seconds, and who looks for it does so every five. */
const nextEventWithinMs = 60_000
const lookEveryMs = 100
const watchersMs = 15_000
/** Every worker must stop within this time. */
const stopWithinMs = 120_000

/** Runs one seed from the beginning to the end, and checks it. */
export async function simulate(seed: number, options: RunOptions = {}): Promise<Run> {
  const { traced = false, store = 'memory' } = options
  const stage = new Stage(seed, traced, store)
  const { world } = stage
  const leave = enterWorld(world)
  const onRejection = (error: unknown): void =>
    stage.found('I8', `a promise was left alone: ${describe(error)}`)
  process.on('unhandledRejection', onRejection)
  let quietAfterMs = 0
  let jobs = 0
  try {
    const answered = await play(stage, (ms) => {
      quietAfterMs = ms
    })
    await check(stage, answered)
    jobs = (await stage.log.direct.list({}, { limit: 10_000 })).length
  } catch (error) {
    stage.found('I8', describe(error))
  } finally {
    leave()
    stage.close()
    process.off('unhandledRejection', onRejection)
  }
  const { wrong } = stage
  const { hash, steps, trace } = world
  return { seed, store, wrong, hash, steps, jobs, quietAfterMs, trace }
}

async function play(stage: Stage, quiet: (afterMs: number) => void): Promise<Dispatching['answered']> {
  const { world, scenario, log } = stage
  const apps = new Dispatching(stage)
  const probe = new Probe(stage)
  const fleet = new Fleet(stage, probe)
  const follower = new Follower(stage)
  const flows = new FlowKeeper(stage, apps)
  const steps = new StepKeeper(stage)
  const operator = new Operator(stage, apps, flows)
  const trouble = new Trouble(stage, fleet, apps, follower)
  const keeper = new ScheduleKeeper(stage)
  await world.until(() => false, scenario.troubleMs)

  world.note('', 'ALL TROUBLE ENDS')
  operator.end()
  trouble.end()
  fleet.upgrade()
  keepResumed(stage)
  keepOpen(stage)
  keepSkipping(stage)
  await keeper.run()
  const endMs = world.nowMs
  let lookMs = 0
  let isDone = false
  let last = { position: '', ms: world.nowMs }
  const isOver = (): boolean => {
    if (world.nowMs < lookMs) return false
    lookMs = world.nowMs + lookEveryMs
    isDone = apps.isDone && flows.isDone && steps.isDone && operator.isDone && keeper.isDone && isQuiet(stage)
    const position = String(log.store.span()[1])
    if (position !== last.position) last = { position, ms: world.nowMs }
    return isDone || (scenario.unreadable !== undefined && world.nowMs - last.ms > nextEventWithinMs)
  }
  await world.until(isOver, scenario.unreadable === undefined ? quietWithinMs : overdueWithinMs)
  if (!isDone) {
    for (const text of unfinished(stage, apps, keeper)) stage.found('liveness', text)
  }
  quiet(world.nowMs - endMs)

  // A watcher looks once a second if nothing wakes it.
  const untold = (): string[] => apps.awaited.filter((id) => isFinal(log.store.row(id)?.state ?? 'ready'))
  await world.until(() => untold().length === 0 && follower.hasSeen(log.store.span()[1]), watchersMs)
  for (const id of untold()) {
    stage.found('result', `job ${id} has ended, and who waits for it has not been told`)
  }
  if (scenario.schedules) {
    const ids = await readDispatched(log.direct)
    stage.story.check(log.store, ids, keeper.live, operator.triggers)
  }
  follower.check((await readHistory(log.direct)).map(({ cursor }) => cursor))

  if (stage.wrong.length === 0) await probe.run(fleet)

  fleet.close()
  if (!(await world.until(() => fleet.members.length === 0, stopWithinMs))) {
    stage.found('stop', `not stopped: ${fleet.members.map(({ process }) => process.name).join(', ')}`)
  }
  await checkSteps(stage, steps, await readHistory(log.direct))
  return apps.answered
}

/** A pause of an operator may still be on its way. */
function keepResumed(stage: Stage): void {
  const { world, log } = stage
  for (const { name } of log.store.heldQueues()) void log.direct.resume(name, { by: 'the simulation' })
  world.at(1_000, () => keepResumed(stage))
}

/** The same for limits, whose closings may be longer than the run. */
function keepOpen(stage: Stage): void {
  const { world, log, scenario } = stage
  if (!scenario.isLimited) return
  const by = { by: 'the simulation' }
  for (const { name, closed } of log.store.limits()) {
    if (closed) void log.direct.closeLimit({ name }, 0, by)
    for (const { key, closed: ofKey } of log.store.limitKeys(name, 1_000))
      if (ofKey) void log.direct.closeLimit({ name, key }, 0, by)
  }
  world.at(1_000, () => keepOpen(stage))
}

/** A job may need one that waits behind a failed holder of its key: nobody else would let that go. */
function keepSkipping(stage: Stage): void {
  const { world, log, scenario } = stage
  if (!scenario.flows) return
  const holders = log.store.blockedKeys(1_000).map(({ holder }) => holder)
  if (holders.length > 0) void log.direct.skip(holders, { by: 'the simulation' })
  world.at(1_000, () => keepSkipping(stage))
}

/** True if nothing is left to do: every job has ended, or waits behind one that has failed and blocks its key (which is skipped where there are flows). */
function isQuiet({ log, servedBrokers, scenario }: Stage): boolean {
  let blocked = 0
  for (const counts of log.store.counts().values()) {
    if (counts.ready + counts.running + counts.scheduled + counts.suspended > 0) return false
    blocked += counts.blocked
  }
  if (!log.isIdle || servedBrokers.some((broker) => !broker.isEmpty)) return false
  return blocked === 0 || (!scenario.flows && blocked === waitingBehindFailed(log))
}

function waitingBehindFailed({ store }: Stage['log']): number {
  return store.blockedKeys(1_000).reduce((sum, { waiting }) => sum + waiting, 0)
}

function unfinished({ log, servedBrokers }: Stage, apps: Dispatching, keeper: ScheduleKeeper): string[] {
  const left = [...log.store.counts()].map(([queue, counts]) => `${queue}: ${JSON.stringify(counts)}`)
  return [
    ...(apps.isDone ? [] : ['a dispatch has no answer']),
    ...(keeper.isDone ? [] : ['a trigger of a schedule has no job']),
    ...servedBrokers.flatMap(({ isEmpty, place }) => (isEmpty ? [] : [`broker ${place} still has tickets`])),
    ...(left.length > 0 ? [`jobs are left, in ${left.join(', ')}`] : []),
  ]
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
