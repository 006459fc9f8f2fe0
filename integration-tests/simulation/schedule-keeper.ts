import { isErrandError } from '@errand/core'
import { readBody } from '../../packages/core/src/schedule/body.ts'
import { resolvedSchedule } from '../../packages/core/src/define/schedule.ts'
import { Peer } from './peer.ts'
import type { Stage } from './stage.ts'

const by = 'the simulation'
const keepEveryMs = 1_000
/** After the end of all trouble every schedule ticks on, and has come so far within the limit. */
const onwardMs = 3_000
const withinMs = 60_000
const jumpEveryMs = 4_000
const jumpsMs = [70_000, 300_000, 3_600_000] as const

/** Lets the log's clock jump in the trouble, sees that schedules tick after it, and holds them then, so that the run ends. */
export class ScheduleKeeper {
  readonly #stage: Stage
  #phase: 'trouble' | 'ticking' | 'held' = 'trouble'
  #peer: Peer | undefined

  constructor(stage: Stage) {
    this.#stage = stage
    if (stage.scenario.schedules?.jumps) this.#jumpLater()
  }

  /** Schedules that live workers know: those of the newer version, and those that were set. */
  get live(): readonly string[] {
    const { scenario, log } = this.#stage
    const set = log.store.schedules().flatMap(({ name, isDeclared }) => (isDeclared ? [] : [name]))
    return [...(scenario.schedules?.newer ?? []).map(({ name }) => name), ...set]
  }

  /** Every trigger of a schedule that lives was done. */
  get isDone(): boolean {
    const { log } = this.#stage
    return this.live.every((name) => {
      const row = log.store.schedule(name)
      const { triggers, triggered } = row ? readBody(row) : { triggers: 0, triggered: 0 }
      return triggers === triggered
    })
  }

  async run(): Promise<void> {
    const { world, log, scenario } = this.#stage
    this.#phase = 'ticking'
    if (!scenario.schedules) return
    this.#peer = new Peer(this.#stage, 'keeper')
    this.#keep()
    const fromMs = log.now() + onwardMs
    const late = (): string[] => this.live.flatMap((name) => this.#findWrong(name, fromMs) ?? [])
    let lookMs = 0
    const isOver = (): boolean => {
      if (world.nowMs < lookMs) return false
      lookMs = world.nowMs + 100
      return late().length === 0
    }
    if (!(await world.until(isOver, withinMs))) {
      for (const text of late()) this.#stage.found('schedule', text)
    }
    this.#phase = 'held'
    await world.until(() => this.#isHeld(), withinMs)
  }

  #findWrong(name: string, fromMs: number): string | undefined {
    const { scenario, log } = this.#stage
    const row = log.store.schedule(name)
    if (!row) return `${name} is not declared`
    const { nextAt = 0, rules } = readBody(row)
    if (nextAt <= fromMs) return `${name} does not tick`
    const declared = scenario.schedules?.newer.find((each) => each.name === name)
    const isRight = !declared || JSON.stringify(rules) === JSON.stringify(resolvedSchedule(declared).rules)
    return isRight ? undefined : `${name} has the rules of an older version`
  }

  #isHeld(): boolean {
    return this.#stage.log.store.schedules().every((row) => readBody(row).pausedBy !== undefined)
  }

  /** An act of an operator may still be on its way. */
  #keep(): void {
    const { world, log } = this.#stage
    const peer = this.#peer
    for (const row of log.store.schedules()) {
      const { name } = row
      const { pausedBy } = readBody(row)
      const act = this.#phase === 'held' ? 'pause' : 'resume'
      if ((pausedBy !== undefined) === (act === 'pause')) continue
      peer?.process.enter(() => {
        void peer.errand.schedules[act](name, by).catch((error: unknown) => {
          if (!isErrandError(error, 'E_NOT_FOUND')) this.#stage.found('operator', String(error))
        })
      })
    }
    world.at(keepEveryMs, () => this.#keep())
  }

  #jumpLater(): void {
    const { world, log } = this.#stage
    world.at(world.chance.between(0, 2 * jumpEveryMs), () => {
      if (this.#phase !== 'trouble') return
      world.note('', 'logClock')
      log.aheadMs += world.chance.pick(jumpsMs)
      this.#jumpLater()
    })
  }
}
