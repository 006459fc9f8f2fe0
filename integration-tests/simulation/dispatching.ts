import { isErrandError } from '@errand/core'
import type { Receipt } from '@errand/core'
import { tx } from './jobs.ts'
import { Peer } from './peer.ts'
import type { SimulatedProcess } from './process.ts'
import type { PlannedDispatch } from './scenario.ts'
import type { Stage } from './stage.ts'

/** A dispatch that was answered: by then the job is durable. */
export interface Answered {
  readonly id: string
  readonly status: Receipt<unknown>['status']
  /** True if an earlier try of the same dispatch had stored it. */
  readonly isOwn: boolean
  /** By the log's clock: when the call that was answered began, and when its answer came. */
  readonly fromMs: number
  readonly toMs: number
}

const pauseMs = 500

/** Applications that dispatch. One of them gets each plan, and repeats it until it has an answer or dies. */
export class Dispatching {
  readonly answered: Answered[] = []
  readonly #stage: Stage
  #peers: Peer[] = []
  readonly #waiting = new Map<Receipt<unknown>, SimulatedProcess>()
  #open: number

  constructor(stage: Stage) {
    this.#stage = stage
    const { world, scenario } = stage
    this.#open = scenario.dispatches.length
    for (let index = 0; index < scenario.dispatchers; index += 1) this.#start(index)
    for (const plan of scenario.dispatches) world.at(plan.atMs, () => this.#give(plan))
  }

  get isDone(): boolean {
    return this.#open === 0
  }

  /** Jobs whose end somebody still waits for. */
  get awaited(): readonly string[] {
    return [...this.#waiting].filter(([, process]) => !process.isDead).map(([{ id }]) => id)
  }

  get peers(): readonly Peer[] {
    return this.#peers.filter(({ process }) => !process.isDead)
  }

  #start(index: number, name = `app-${index}`): void {
    const peer = new Peer(this.#stage, name)
    this.#peers[index] = peer
    const { world } = this.#stage
    peer.process.onDeath(() => {
      world.at(world.chance.between(100, 3_000), () => this.#start(index, `${name}'`))
    })
  }

  #give(plan: PlannedDispatch): void {
    const { world } = this.#stage
    const peer = world.chance.pick(this.#peers)
    // The process is down and cannot be asked: the caller tries later.
    if (peer.process.isDead || peer.process.isFrozen) {
      world.at(pauseMs, () => this.#give(plan))
      return
    }
    let isOpen = true
    const close = (): void => {
      if (isOpen) this.#open -= 1
      isOpen = false
    }
    peer.process.onDeath(close)
    peer.process.enter(() => void this.#dispatch(peer, plan).finally(close))
  }

  async #dispatch(peer: Peer, plan: PlannedDispatch): Promise<void> {
    const { requests } = plan
    const { log } = this.#stage
    let ids: readonly string[] | undefined
    for (;;) {
      const fromMs = log.now()
      try {
        const receipts = await this.#send(peer, plan, ids)
        for (const [index, { id, status }] of receipts.entries()) {
          const isOwn = id === (ids?.[index] ?? requests[index]?.options.id)
          this.answered.push({ id, status, isOwn, fromMs, toMs: log.now() })
        }
        for (const receipt of plan.awaitsResult ? receipts : []) void this.#awaitResult(peer, receipt)
        return
      } catch (error) {
        if (!isErrandError(error, 'E_DISPATCH_UNKNOWN') && !isErrandError(error, 'E_LOG_UNREACHABLE')) {
          this.#stage.found('dispatch', `it was refused: ${String(error)}`)
          return
        }
        ids = error.ids ?? ids
        await peer.process.clock.sleep(pauseMs)
      }
    }
  }

  /** Every waiter for a job that has ended must be told. */
  async #awaitResult({ errand, process }: Peer, receipt: Receipt<unknown>): Promise<void> {
    this.#waiting.set(receipt, process)
    for (;;) {
      try {
        await errand.result(receipt)
        break
      } catch (error) {
        if (isErrandError(error, 'E_RESULT_FAILED')) break
        if (!isErrandError(error, 'E_LOG_UNREACHABLE')) {
          this.#stage.found('result', `of job ${receipt.id}: ${String(error)}`)
        }
        await process.clock.sleep(pauseMs)
      }
    }
    this.#waiting.delete(receipt)
  }

  async #send(
    { errand }: Peer,
    { requests, inTransaction }: PlannedDispatch,
    ids: readonly string[] | undefined,
  ): Promise<readonly Receipt<unknown>[]> {
    const known = requests.map(({ job, payload, options }, index) => {
      const id = ids?.[index]
      return { job, payload, options: id === undefined ? options : { ...options, id } }
    })
    const [only] = known
    const inTx = inTransaction ? { tx } : {}
    const receipts =
      known.length === 1 && only
        ? [await errand.dispatch(only.job, only.payload, { ...only.options, ...inTx })]
        : await errand.dispatchMany(
            known.map(({ job, payload, options }) => job.with(payload, options)),
            inTx,
          )
    if (inTransaction) errand.wake()
    return receipts
  }
}
