import { createErrand } from 'errand'
import type { Errand, Logger } from 'errand'
import { openBroker } from './broker.ts'
import type { Broker } from './broker.ts'
import type { Fleet } from './fleet.ts'
import { expedite } from './handover.ts'
import type { Story } from './story.ts'

export interface SwapParts {
  readonly fleet: Fleet
  readonly story: Story
  readonly log: string
  readonly logger: Logger
  /** The broker's URL. Without one the demo starts its own. */
  readonly driver: string | undefined
  /** What workers are started with, whatever their broker is. */
  readonly environment: Readonly<Record<string, string>>
}

/** Moves the fleet to another broker while it works, only by `ERRAND_DRIVER`. */
export class Swap {
  readonly #parts: SwapParts
  #opening: Promise<Broker> | undefined
  #errand: Errand | undefined
  #done: Promise<Errand> | undefined

  constructor(parts: SwapParts) {
    this.#parts = parts
  }

  /** Begins it, or waits for its end; resolves with a dispatcher on the new broker. */
  run(): Promise<Errand> {
    this.#done ??= this.#perform()
    return this.#done
  }

  /** After the fleet has stopped: its workers still hand tickets back. */
  async close(): Promise<void> {
    const broker = await this.#opening?.catch(() => undefined)
    try {
      await this.#errand?.close()
    } finally {
      await broker?.close()
    }
  }

  async #perform(): Promise<Errand> {
    const { driver, environment, fleet, log, logger, story } = this.#parts
    this.#opening = openBroker(driver)
    const broker = await this.#opening
    const errand = createErrand({ log, driver: broker.url, logger })
    this.#errand = errand
    story.tell(`another broker: ${broker.what}`, 'cyan')

    const setup = { source: broker.name, environment: { ...environment, ERRAND_DRIVER: broker.url } }
    // The dead worker first. The others work until it is their turn.
    const dead = fleet.members.filter(({ state }) => state === 'killed')
    for (const member of [...dead, ...fleet.members.filter((each) => !dead.includes(each))]) {
      const how = dead.includes(member) ? 'starts again' : 'stops and starts'
      story.tell(`${member.name} ${how}, with ERRAND_DRIVER=${scheme(broker.url)}…`, 'cyan')
      await fleet.roll(member, setup)
      if (fleet.isStopping) return errand
      // Ready jobs have no ticket on the new broker yet. Without this call they would get one within half a minute.
      await expedite(log, logger)
    }
    story.tell(`every worker takes its jobs from ${broker.name} now`, 'cyan')
    return errand
  }
}

function scheme(url: string): string {
  return url.slice(0, url.indexOf('://') + 3)
}
