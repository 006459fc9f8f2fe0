import type { Dispatching } from './dispatching.ts'
import type { Disaster } from './faults.ts'
import type { Fleet } from './fleet.ts'
import type { Follower } from './follower.ts'
import type { SimulatedProcess } from './process.ts'
import type { Stage } from './stage.ts'

const hourMs = 3_600_000

/** Causes disasters, one after another, until it is ended. */
export class Trouble {
  readonly #stage: Stage
  readonly #fleet: Fleet
  readonly #apps: Dispatching
  readonly #follower: Follower
  #isOver = false

  constructor(stage: Stage, fleet: Fleet, apps: Dispatching, follower: Follower) {
    this.#stage = stage
    this.#fleet = fleet
    this.#apps = apps
    this.#follower = follower
    if (stage.faults.disasters.length > 0) this.#next()
  }

  /** Repairs everything: servers that are down start again, frozen processes go on. */
  end(): void {
    this.#isOver = true
    const { log, brokers, faults } = this.#stage
    faults.stop()
    log.up()
    for (const broker of brokers) broker.up()
    for (const process of this.#processes()) {
      process.diesAt = undefined
      process.thaw()
    }
  }

  #processes(): readonly SimulatedProcess[] {
    const peers = [...this.#fleet.members, ...this.#apps.peers]
    const follower = this.#follower.process
    return [...peers.map(({ process }) => process), ...(follower ? [follower] : [])]
  }

  #next(): void {
    const { world, faults } = this.#stage
    world.at(world.chance.between(0, 2 * faults.disasterEveryMs), () => {
      if (this.#isOver) return
      this.#strike(world.chance.pick(faults.disasters))
      this.#next()
    })
  }

  #strike(disaster: Disaster): void {
    const { world, log, brokers } = this.#stage
    const { chance } = world
    const broker = chance.pick(brokers)
    const processes = this.#processes()
    const victim = processes.length > 0 ? chance.pick(processes) : undefined
    const ms = chance.pick([
      chance.between(10, 500),
      chance.between(1_500, 5_000),
      chance.between(500, 15_000),
    ])
    world.note('', disaster)
    switch (disaster) {
      case 'kill':
        victim?.kill()
        return
      case 'freeze':
        victim?.freeze(ms, chance.happens(0.3))
        return
      case 'logDown':
        log.down()
        world.at(ms, () => log.up())
        return
      case 'brokerDown':
        broker.down()
        world.at(ms, () => broker.up())
        return
      case 'brokerWiped':
        broker.wipe()
        return
      case 'timeSkip':
        world.skip(ms)
        return
      case 'logClock':
        log.aheadMs += chance.pick([ms, hourMs])
        return
      case 'workerClock':
        if (victim) victim.skewMs += chance.pick([-hourMs, hourMs])
        return
      case 'restart': {
        const members = this.#fleet.members
        if (members.length > 0) this.#fleet.stop(chance.pick(members))
        return
      }
      default:
        disaster satisfies never
    }
  }
}
