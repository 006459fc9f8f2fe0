import { isErrandError } from '@errand/core'
import { lanes } from '@errand/core/ports'
import type { Dispatching } from './dispatching.ts'
import type { FlowKeeper } from './flow-keeper.ts'
import { Peer } from './peer.ts'
import { driverUrls } from './scenario.ts'
import type { Stage } from './stage.ts'

const by = { by: 'operator', reason: 'by chance' }
const meddling = [
  'cancel',
  'cancel',
  'replay',
  'skip',
  'pause',
  'resume',
  'change',
  'purge',
  'repair',
  'stopWorker',
] as const
const scheduling = ['pauseSchedule', 'resumeSchedule', 'trigger', 'trigger', 'set', 'remove'] as const
const limiting = ['setLimit', 'setLimit', 'resetLimit', 'closeLimit', 'openLimit'] as const
const flowing = ['cancelFlow', 'replayFlow', 'replayMember', 'replayMember'] as const
const moving = ['move', 'move', 'cancelMove'] as const
type Action =
  | (typeof meddling)[number]
  | (typeof moving)[number]
  | (typeof scheduling)[number]
  | (typeof limiting)[number]
  | (typeof flowing)[number]
const longestPauseMs = 2_000

/** An operator who changes jobs, queues and workers with Errand's own functions. */
export class Operator {
  readonly #stage: Stage
  readonly #apps: Dispatching
  readonly #flows: FlowKeeper
  readonly #actions: readonly Action[]
  /** How often schedules were triggered, by name. */
  readonly triggers = new Map<string, { asked: number; answered: number }>()
  #active = 0
  #isOver = false

  constructor(stage: Stage, apps: Dispatching, flows: FlowKeeper) {
    this.#stage = stage
    this.#apps = apps
    this.#flows = flows
    const { operated, moves, schedules, isLimited, flows: planned } = stage.scenario
    this.#actions = [
      ...(operated ? meddling : []),
      ...(moves ? moving : []),
      ...(schedules ? scheduling : []),
      ...(isLimited && operated ? limiting : []),
      ...(planned ? flowing : []),
    ]
    if (this.#actions.length > 0) this.#next()
  }

  get isDone(): boolean {
    return this.#active === 0
  }

  end(): void {
    this.#isOver = true
  }

  #next(): void {
    const { world } = this.#stage
    world.at(world.chance.between(0, longestPauseMs), () => {
      if (this.#isOver) return
      const peer = new Peer(this.#stage, 'operator')
      this.#active += 1
      peer.process.onDeath(() => (this.#active -= 1))
      peer.process.enter(() => void this.#act(peer).then(() => peer.process.end()))
      this.#next()
    })
  }

  async #act({ errand, instance, process }: Peer): Promise<void> {
    const { chance } = this.#stage.world
    const queue = chance.pick(this.#stage.scenario.queues)
    const { answered } = this.#apps
    const id = answered.length > 0 ? chance.pick(answered).id : undefined
    try {
      const action = chance.pick(this.#actions)
      const schedule = this.#pickSchedule()
      switch (action) {
        case 'cancel':
          if (id !== undefined) await errand.jobs.cancel(id, by)
          break
        case 'replay':
          if (id !== undefined) await errand.jobs.replay(id, by)
          break
        case 'skip':
          await errand.jobs.skip({ state: 'failed' }, by)
          break
        case 'pause':
          await errand.queues.pause(queue, by)
          break
        case 'resume':
          await errand.queues.resume(queue, by)
          break
        case 'change': {
          const runAt = new Date(this.#stage.log.now() + chance.whole(-1_000, 5_000))
          if (id === undefined) break
          await errand.jobs.change(id, chance.happens(0.5) ? { lane: chance.pick(lanes) } : { at: runAt }, by)
          break
        }
        case 'purge':
          await errand.queues.purge(queue, by)
          break
        case 'pauseSchedule':
          if (schedule !== undefined) await errand.schedules.pause(schedule, by)
          break
        case 'resumeSchedule':
          if (schedule !== undefined) await errand.schedules.resume(schedule, by)
          break
        case 'trigger':
          if (schedule !== undefined) await this.#trigger(errand, schedule)
          break
        case 'set':
          await errand.schedules.set(chance.pick(this.#stage.scenario.schedules?.set ?? []), by)
          break
        case 'remove':
          if (schedule !== undefined) await errand.schedules.remove(schedule)
          break
        case 'setLimit':
        case 'resetLimit':
        case 'closeLimit':
        case 'openLimit':
          await this.#changeLimit(errand, action)
          break
        case 'cancelFlow':
        case 'replayFlow':
        case 'replayMember': {
          const flow = this.#flows.answered.length > 0 ? chance.pick(this.#flows.answered) : undefined
          if (flow === undefined) break
          if (action === 'cancelFlow') await errand.flows.cancel(flow, by)
          else if (action === 'replayFlow') await errand.flows.replay(flow, by)
          else await this.#replayMember(errand, flow)
          break
        }
        case 'repair':
          await errand.doctor({ repair: true })
          break
        case 'move':
        case 'cancelMove': {
          const enough = new AbortController()
          process.clock.after(chance.between(0, 8_000), () => enough.abort())
          const options = { by: 'operator', signal: enough.signal }
          if (action === 'move') await errand.transfer.to(chance.pick(driverUrls), options)
          else await errand.transfer.cancel(options)
          break
        }
        case 'stopWorker': {
          const { log } = await instance.connected()
          const workers = await log.workers()
          if (workers.length > 0) await errand.workers.stop(chance.pick(workers).id)
          break
        }
      }
    } catch (error) {
      // An operator sees the error, and goes on. Only errors of Errand are allowed.
      if (!isErrandError(error)) this.#stage.found('operator', String(error))
    }
    await instance.close()
  }

  async #changeLimit({ limits }: Peer['errand'], action: (typeof limiting)[number]): Promise<void> {
    const { chance } = this.#stage.world
    const names = this.#stage.log.store.limits().map(({ name }) => name)
    if (names.length === 0) return
    const name = chance.pick(names)
    const key = name === 'whole' || chance.happens(0.3) ? undefined : chance.pick(['key-0', 'key-1'])
    if (action === 'setLimit') await limits.set(name, { concurrency: chance.whole(1, 4) }, by)
    else if (action === 'resetLimit') await limits.reset(name, by)
    else if (action === 'closeLimit') await limits.close(name, { key, for: chance.whole(1, 5_000) }, by)
    else await limits.open(name, { key }, by)
  }

  async #replayMember({ jobs }: Peer['errand'], flow: string): Promise<void> {
    const { log, world } = this.#stage
    const failed = log.store.members(flow, 0, 100).filter(({ id }) => log.store.row(id)?.state === 'failed')
    if (failed.length > 0) await jobs.replay(world.chance.pick(failed).id, by)
  }

  #pickSchedule(): string | undefined {
    const names = this.#stage.log.store.schedules().map(({ name }) => name)
    return names.length === 0 ? undefined : this.#stage.world.chance.pick(names)
  }

  async #trigger({ schedules }: Peer['errand'], name: string): Promise<void> {
    const count = this.triggers.get(name) ?? { asked: 0, answered: 0 }
    this.triggers.set(name, count)
    count.asked += 1
    await schedules.trigger(name, by)
    count.answered += 1
  }
}
