import type { FlowBuilder, FlowRequest, JobRequest, MemberOptions, Needed } from '@errand/core'
import type { Chance } from '../simulation/chance.ts'
import { FlowShapes } from '../simulation/flow-shapes.ts'
import type { MemberSource } from '../simulation/flow-shapes.ts'
import { drawPart } from '../simulation/step-plan.ts'
import type { Part } from '../simulation/step-plan.ts'
import { orderedPart, part } from './app/flow-jobs.ts'
import type { PartPayload } from './app/flow-jobs.ts'

/** So many jobs a flow has at most when it is dispatched, with those of flows in it. */
const mostJobs = 40

export interface PlannedFlow {
  readonly id: string
  readonly atMs: number
  readonly request: FlowRequest<unknown>
  /** Somebody cancels it so long after its dispatch. */
  readonly cancelAfterMs: number | undefined
  /** A single job that waits for it. */
  readonly after: string | undefined
}

export interface PlannedSteps {
  readonly id: string
  readonly atMs: number
  readonly parts: readonly Part[]
  readonly messages: readonly { readonly id: string; readonly afterMs: number }[]
}

export interface Sizes {
  readonly flows: number
  readonly stepped: number
  /** Parts of a handler. */
  readonly parts: number
  /** All is dispatched in this time. */
  readonly withinMs: number
}

export interface WorkPlan {
  readonly flows: readonly PlannedFlow[]
  readonly steps: readonly PlannedSteps[]
}

export function planWork(chance: Chance, { flows, stepped, parts, withinMs }: Sizes): WorkPlan {
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)
  const common = () => ({ id: chance.uuid(), atMs: chance.between(0, withinMs) })
  return {
    flows: times(flows, () => ({
      ...common(),
      request: drawFlow(chance),
      cancelAfterMs: chance.happens(0.1) ? chance.between(0, 1_000) : undefined,
      after: chance.happens(0.3) ? chance.uuid() : undefined,
    })),
    steps: times(stepped, () => ({
      ...common(),
      parts: times(chance.whole(2, parts), () =>
        chance.happens(0.15) ? { does: 'inside' } : drawPart(chance),
      ),
      messages: times(chance.whole(0, 3), () => ({ id: chance.uuid(), afterMs: chance.between(0, 15_000) })),
    })),
  }
}

function drawFlow(chance: Chance): FlowRequest<unknown> {
  for (;;) {
    const members = new Members(chance)
    const request = new FlowShapes(chance, members, { batch: 25, chain: 6, graph: 10 }).draw()
    if (members.count <= mostJobs) return request
  }
}

class Members implements MemberSource {
  count = 0
  readonly #chance: Chance

  constructor(chance: Chance) {
    this.#chance = chance
  }

  request(): JobRequest<unknown> {
    const chance = this.#chance
    return this.#pick().with(this.#payload(), chance.happens(0.1) ? { delay: chance.whole(1, 2_000) } : {})
  }

  add(to: FlowBuilder, options: MemberOptions): Needed {
    return to.job(this.#pick(), this.#payload(), options)
  }

  #pick(): typeof part {
    this.count += 1
    return this.#chance.happens(0.15) ? orderedPart : part
  }

  #payload(): PartPayload {
    const chance = this.#chance
    return {
      n: this.count,
      ms: chance.pick([chance.whole(0, 30), chance.whole(0, 30), chance.whole(100, 800)]),
      failures: chance.pick([0, 0, 0, 0, 0, 0, 0, 1, 2, 3]),
      adds: chance.happens(0.1) ? chance.whole(1, 3) : 0,
    }
  }
}
