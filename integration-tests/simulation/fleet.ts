import { defineWorker } from '@errand/core'
import type { Worker } from '@errand/core'
import { startWorker } from '../../packages/core/src/worker/worker.ts'
import { makeHandlers } from './jobs.ts'
import { Peer } from './peer.ts'
import { workerSettings } from './scenario.ts'
import type { Probe } from './probe.ts'
import type { Stage } from './stage.ts'
import { makeStepHandlers } from './step-handlers.ts'

export interface Member extends Peer {
  readonly worker: Worker | undefined
  readonly isOld: boolean
  /** The queues that it serves. */
  readonly queues: readonly string[]
}

class WorkerPeer extends Peer implements Member {
  worker: Worker | undefined
  readonly isOld: boolean
  readonly queues: readonly string[]

  constructor(stage: Stage, name: string, isOld: boolean, queues: readonly string[]) {
    super(stage, name)
    this.isOld = isOld
    this.queues = queues
  }
}

/** The worker processes. Starts a new one when one has ended. */
export class Fleet {
  readonly #stage: Stage
  readonly #probe: Probe
  readonly #members = new Set<WorkerPeer>()
  readonly #leaving = new Set<WorkerPeer>()
  #count = 0
  #isClosing = false
  #isUpgraded = false

  constructor(stage: Stage, probe: Probe) {
    this.#stage = stage
    this.#probe = probe
    const { scenario } = stage
    const { served } = scenario
    for (let index = 0; index < scenario.workers; index += 1)
      this.#start(served[index % served.length] ?? [], scenario.rolling && index > 0)
  }

  get members(): readonly Member[] {
    return [...this.#members]
  }

  #start(queues: readonly string[], isOld = false): void {
    this.#count += 1
    const member = new WorkerPeer(this.#stage, `worker-${this.#count}`, isOld, queues)
    this.#members.add(member)
    member.process.onDeath(() => this.#gone(member))
    member.process.enter(() => void this.#run(member))
  }

  /** Replaces all workers with the new version, and starts only as many as are needed. From now on every worker knows every job. */
  upgrade(): void {
    this.#isUpgraded = true
    const kept = [...this.#members].find(({ isOld }) => !isOld)
    for (const member of this.#members) if (member !== kept) this.#leave(member)
    const { served } = this.#stage.scenario
    for (const queues of served) if (served.length === 1 || queues !== kept?.queues) this.#start(queues)
  }

  /** Stops all of them in order, and starts no more. */
  close(): void {
    this.#isClosing = true
    for (const member of this.#members) this.stop(member)
  }

  /** Stops it like SIGTERM. A worker that has not begun yet ends at once. */
  stop({ process, worker }: Member): void {
    if (worker) process.enter(() => void worker.stop())
    else process.kill()
  }

  /** Stops it for good. */
  #leave(member: WorkerPeer): void {
    this.#leaving.add(member)
    this.stop(member)
  }

  #gone(member: WorkerPeer): void {
    const { world } = this.#stage
    this.#members.delete(member)
    if (this.#isClosing || this.#leaving.has(member)) return
    world.at(world.chance.between(100, 4_000), () => {
      if (!this.#isClosing) this.#start(member.queues, member.isOld && !this.#isUpgraded)
    })
  }

  async #run(member: WorkerPeer): Promise<void> {
    const { instance, process } = member
    const id = instance.newWorkerId()
    const deps = await instance.workerDeps(id)
    member.worker = startWorker(
      this.#definition(member, id),
      // An older version also serves the queues of jobs that it does not know.
      { signals: false, queues: member.queues },
      deps,
    )
    instance.keep(member.worker)
    // A worker that cannot start exits, and is started again from outside.
    await member.worker.finished.catch(() => undefined)
    await instance.close()
    process.end()
  }

  #definition({ process, isOld, queues }: WorkerPeer, worker: string): ReturnType<typeof defineWorker> {
    const { world, scenario, ledger } = this.#stage
    const { chance } = world
    const known = isOld ? scenario.jobs.slice(0, -1) : scenario.jobs
    const settings = workerSettings(chance, queues)
    const handlers = makeHandlers(known, process, worker, ledger, (ctx) => this.#began(process, worker, ctx))
    return defineWorker({
      handlers: [
        ...handlers,
        ...(scenario.steps.length > 0 ? makeStepHandlers(process, worker, ledger, this.#stage.notes) : []),
        ...this.#probe.handlersIn(process, worker),
      ],
      ...settings,
      schedules: scenario.schedules?.[isOld ? 'older' : 'newer'] ?? [],
      ...(chance.happens(0.3) ? { after: () => undefined, failing: () => undefined } : {}),
    })
  }

  /** Checks that no handler begins after the lease is out by the log's clock, as far as its process can know. */
  #began(
    process: Peer['process'],
    worker: string,
    { job, run }: { readonly job: { readonly id: string }; readonly run: number },
  ): void {
    const { log } = this.#stage
    if (process.hasSlept || log.aheadMs > 0) return
    const leaseUntil = log.store.worker(worker)?.leaseUntil ?? 0
    if (leaseUntil >= log.now()) return
    this.#stage.found(
      'lease',
      `${process.name} began run ${run} of job ${job.id} ${log.now() - leaseUntil} ms after its lease`,
    )
  }
}
