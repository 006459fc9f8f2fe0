import { setTimeout as delay } from 'node:timers/promises'
import type { Errand, JobEvent } from 'errand'
import { orderSteps } from '../jobs.ts'
import { present } from './fleet.ts'
import type { Fleet } from './fleet.ts'
import type { Story } from './story.ts'
import { listed } from './style.ts'

export interface OrderParts {
  readonly errand: Errand
  readonly fleet: Fleet
  readonly story: Story
  readonly id: string
}

const lookMs = 25

/** The last act: the worker of an order is killed between two of its steps, and another one goes on. */
export class Order {
  readonly #parts: OrderParts
  #killed = false

  constructor(parts: OrderParts) {
    this.#parts = parts
  }

  async hear(event: JobEvent): Promise<void> {
    if (event.type === 'started' && !this.#killed) await this.#kill(event.worker)
    if (event.type === 'succeeded') await this.#tellSteps()
  }

  /** Once the log remembers the first step. The second one takes a second before it acts. */
  async #kill(worker: string): Promise<void> {
    const { fleet, story } = this.#parts
    this.#killed = true
    while ((await this.#steps()).length === 0) await delay(lookMs)
    const member = fleet.findMember(worker)
    if (!member) throw new Error(`the order runs on ${worker}, which is no worker of the demo`)
    await fleet.kill(member)
    const [done, next] = orderSteps
    member.fate = `killed between ${done} and ${next}`
    story.tell(
      `kill -9 ${present(member).pid}: ${member.name} dies between the steps ${done} and ${next}`,
      'red',
    )
  }

  async #tellSteps(): Promise<void> {
    const byRun = Map.groupBy(await this.#steps(), ({ run }) => run)
    const parts = [...byRun].map(([run, steps]) => `${listed(steps.map(({ name }) => name))} in run ${run}`)
    this.#parts.story.tell(`the order went on where it was: ${parts.join(', ')}`, 'green')
  }

  async #steps() {
    return (await this.#parts.errand.jobs.memory(this.#parts.id)).steps
  }
}
