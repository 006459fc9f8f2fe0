import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'

const intervalUs = 500

/** A CPU profile of only the timed part: a profile by `--cpu-prof` would mostly show the loading of modules. */
export class Sampling {
  readonly #folder: string
  #session: Session | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  async begin(): Promise<void> {
    const session = new Session()
    this.#session = session
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: intervalUs })
    await session.post('Profiler.start')
  }

  async end(): Promise<void> {
    if (!this.#session) return
    const { profile } = await this.#session.post('Profiler.stop')
    this.#session.disconnect()
    writeFileSync(join(this.#folder, `${process.pid}.cpuprofile`), JSON.stringify(profile))
  }
}
