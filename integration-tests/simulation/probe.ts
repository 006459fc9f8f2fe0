import { defineJob, handle } from '@errand/core'
import type { JobDefinition, JobHandler } from '@errand/core'
import type { Fleet } from './fleet.ts'
import { Peer } from './peer.ts'
import type { SimulatedProcess } from './process.ts'
import type { Stage } from './stage.ts'

/** More than the slots of a worker for one queue, so that one worker cannot have all of them. */
const jobsPerWorker = 5
/** Less than the grace of a ticket: workers take overdue jobs from the log, which would hide a dead subscription. */
const withinMs = 20_000
const lookEveryMs = 50

/**
 * Finds workers that are up and take nothing. No other check shows that if other workers do their work. For each queue it
 * dispatches more jobs than all workers but one have slots for, and no job ends before every worker has one.
 */
export class Probe {
  readonly #stage: Stage
  readonly #jobs: readonly JobDefinition<void, void, undefined>[]
  /** Processes that have a job of the queue that is probed now. */
  readonly #holding = new Set<SimulatedProcess>()
  #queue: string | undefined

  constructor(stage: Stage) {
    this.#stage = stage
    this.#jobs = stage.scenario.queues.map((queue) =>
      defineJob({ name: `probe-${queue}`, queue, timeout: 'none' }),
    )
  }

  handlersIn(process: SimulatedProcess, worker: string): readonly JobHandler[] {
    const { ledger } = this.#stage
    return this.#jobs.map((job) =>
      handle(job, async (_, ctx) => {
        const line = { jobId: ctx.job.id, run: ctx.run, worker }
        await ledger.mark(process, { ...line, mark: 'began' })
        this.#holding.add(process)
        while (this.#queue === job.queue) await process.clock.sleep(lookEveryMs)
        await ledger.mark(process, { ...line, mark: 'ended' })
      }),
    )
  }

  async run(fleet: Fleet): Promise<void> {
    const { world } = this.#stage
    const app = new Peer(this.#stage, 'probe')
    for (const job of this.#jobs) {
      // Its jobs are taken from the log, and late.
      if (job.queue === this.#stage.scenario.unreadable) continue
      this.#holding.clear()
      this.#queue = job.queue
      const idle = (): string[] =>
        fleet.members.flatMap(({ process, queues }) =>
          this.#holding.has(process) || !queues.includes(job.queue) ? [] : [process.name],
        )
      let dispatched = 0
      /** A worker that starts late has jobs of its own: it may take those of the others. */
      const dispatchForAll = (): void => {
        const missing = jobsPerWorker * fleet.members.length - dispatched
        if (missing <= 0) return
        dispatched += missing
        const requests = Array.from({ length: missing }, () => job.with())
        app.process.enter(() => void this.#dispatch(app, requests))
      }
      const allHaveOne = (): boolean => {
        dispatchForAll()
        return idle().length === 0
      }
      if (!(await world.until(allHaveOne, withinMs))) {
        this.#stage.found('idle', `of queue ${job.queue} nothing is taken by ${idle().join(', ')}`)
      }
      this.#queue = undefined
      await world.until(() => this.#isDone(), withinMs)
    }
    app.process.enter(() => void app.instance.close())
  }

  #isDone(): boolean {
    const counts = [...this.#stage.log.store.counts().values()]
    return counts.every(({ ready, running }) => ready + running === 0)
  }

  async #dispatch({ errand }: Peer, requests: Parameters<Peer['errand']['dispatchMany']>[0]): Promise<void> {
    await errand.dispatchMany(requests).catch((error: unknown) => {
      this.#stage.found('dispatch', `of probes was refused: ${String(error)}`)
    })
  }
}
