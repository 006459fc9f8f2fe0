import type { DriverFactory, Logger } from '@errand/core'
import { resolveConfig } from '../../packages/core/src/config/resolve.ts'
import { errandOver } from '../../packages/core/src/errand.ts'
import type { Errand } from '../../packages/core/src/errand.ts'
import { createInstance } from '../../packages/core/src/instance.ts'
import type { Instance } from '../../packages/core/src/instance.ts'
import { database } from '@errand/driver-database'
import type { Stage } from './stage.ts'
import { SimulatedProcess } from './process.ts'

/** One process with a real instance of Errand, on simulated ports. */
export class Peer {
  readonly process: SimulatedProcess
  readonly instance: Instance
  readonly errand: Errand

  constructor(stage: Stage, name: string) {
    const { world, log, scenario, faults } = stage
    this.process = new SimulatedProcess(world, name)
    if (world.chance.happens(faults.rates.killed)) this.process.diesAt = world.chance.whole(1, 150)
    const driverAt = (url: string): DriverFactory => {
      const broker = stage.brokers.find(({ place }) => url === `simulated:${place}`)
      return broker ? broker.connection(this.process) : database()
    }
    const config = resolveConfig({
      log: log.connection(this.process),
      driver: driverAt(scenario.driver),
      logger: makeLogger((line) => world.note(name, 'says', () => line)),
    })
    this.instance = createInstance({ ...config, driverAt: async (url) => driverAt(url) }, this.process.clock)
    this.errand = errandOver(this.instance)
  }
}

/** One line in the trace for each line of the log. */
function makeLogger(write: (line: string) => void): Logger {
  const at =
    (level: string) =>
    (context: object, message?: string): void => {
      const error: unknown = 'err' in context ? context.err : undefined
      write(`${level}: ${message}${error instanceof Error ? ` (${error.message})` : ''}`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
