import { Broker } from './broker.ts'
import { Faults } from './faults.ts'
import { Ledger } from './ledger.ts'
import { LimitWatch } from './limit-watch.ts'
import { LogServer } from './log-server.ts'
import { Scenario } from './scenario.ts'
import { ScheduleStory } from './schedule-story.ts'
import { StepNotes } from './step-notes.ts'
import { openRows } from './store.ts'
import type { Rows, StoreKind } from './store.ts'
import { World } from './world.ts'

/** What is wrong, for a reader: the name of the invariant and the story. */
export interface Wrong {
  readonly invariant: string
  readonly text: string
}

/** Everything of one run that its processes share. */
export class Stage {
  readonly world: World
  readonly scenario: Scenario
  readonly faults: Faults
  readonly log: LogServer
  readonly brokers: readonly Broker[]
  readonly ledger = new Ledger()
  /** What became of the schedules. */
  readonly story = new ScheduleStory((text) => this.found('schedule', text))
  /** What became of the limits. */
  readonly limits = new LimitWatch((text) => this.found('limit', text))
  /** What the handlers of jobs with steps have written down. */
  readonly notes = new StepNotes(() => this.log.now())
  readonly wrong: Wrong[] = []
  readonly #rows: Rows

  constructor(seed: number, traced: boolean, store: StoreKind) {
    this.world = new World(seed, traced)
    const { chance } = this.world
    this.scenario = new Scenario(seed, chance)
    this.faults = new Faults(chance)
    this.#rows = openRows(store)
    this.log = new LogServer(this.world, this.faults, this.#rows, {
      story: this.story,
      limits: this.scenario.isLimited ? this.limits : undefined,
      aside: (text) => this.found('aside', text),
    })
    const wrong = (text: string): void => this.found('ack', text)
    const { unreadable } = this.scenario
    this.brokers = ['a', 'b'].map((place) => new Broker(place, this.world, this.faults, wrong, unreadable))
  }

  /** Brokers that workers take from. A broker that the system has left keeps its tickets. */
  get servedBrokers(): readonly Broker[] {
    const transfer = this.log.store.facts().transfer
    if (!transfer) return this.brokers
    const places =
      transfer.phase === 'moving' ? [transfer.from.place, transfer.to.place] : [transfer.to.place]
    return this.brokers.filter(({ place }) => places.includes(`simulated ${place}`))
  }

  close(): void {
    this.#rows.close()
  }

  found(invariant: string, text: string): void {
    this.world.note('', `WRONG ${invariant}`, () => text)
    this.wrong.push({ invariant, text })
  }
}
