// Flows of any shape: for the simulation, and for fleets of real processes.
import { batch, chain, ended, flow } from '@errand/core'
import type {
  FlowBuilder,
  FlowOptions,
  FlowRequest,
  InnerFlowOptions,
  JobRequest,
  MemberOptions,
  Needed,
} from '@errand/core'
import type { Chance } from './chance.ts'

const deepest = 3

/** Where the jobs of a flow come from. */
export interface MemberSource {
  request(): JobRequest<unknown>
  add(to: FlowBuilder, options: MemberOptions & InnerFlowOptions): Needed
}

/** How many there are at most in one flow, without those of flows in it. */
interface Sizes {
  readonly batch: number
  readonly chain: number
  readonly graph: number
}

export class FlowShapes {
  readonly #chance: Chance
  readonly #members: MemberSource
  readonly #sizes: Sizes

  constructor(chance: Chance, members: MemberSource, sizes: Sizes = { batch: 5, chain: 4, graph: 6 }) {
    this.#chance = chance
    this.#members = members
    this.#sizes = sizes
  }

  draw(depth = 0): FlowRequest<unknown> {
    const chance = this.#chance
    const options = this.#options()
    const kind = chance.pick(['batch', 'chain', 'graph'] as const)
    if (kind === 'batch')
      return batch(
        this.#list(0, this.#sizes.batch, () => this.#members.request()),
        options,
      )
    if (kind === 'chain')
      return chain(
        this.#list(1, this.#sizes.chain, () => this.#link(depth)),
        options,
      )
    return flow((f) => {
      const refs: Needed[] = []
      for (let count = chance.whole(1, this.#sizes.graph); count > 0; count -= 1) {
        const options = {
          after: refs
            .filter(() => chance.happens(0.4))
            .map((ref) => (chance.happens(0.2) ? ended(ref) : ref)),
          mayFail: chance.happens(0.15),
        }
        refs.push(
          depth < deepest && chance.happens(0.2)
            ? f.flow(this.draw(depth + 1), options)
            : this.#members.add(f, options),
        )
      }
    }, options)
  }

  #link(depth: number): JobRequest<unknown> | FlowRequest<unknown> {
    return depth < deepest && this.#chance.happens(0.3) ? this.draw(depth + 1) : this.#members.request()
  }

  #list<T>(least: number, most: number, make: () => T): T[] {
    return Array.from({ length: this.#chance.whole(least, most) }, make)
  }

  #options(): FlowOptions {
    const chance = this.#chance
    const callback = (): JobRequest<unknown> | undefined =>
      chance.happens(0.3) ? this.#members.request() : undefined
    return {
      allowFailures: chance.pick([0, 0, 1, true] as const),
      stopOnFailure: chance.happens(0.7),
      onSuccess: callback(),
      onFailure: callback(),
      onEnd: callback(),
    }
  }
}
