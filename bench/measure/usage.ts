import type { Measured } from './task.ts'

/** What the process used since `begin`. */
export class Usage {
  #cpu = process.cpuUsage()

  begin(): void {
    this.#cpu = process.cpuUsage()
  }

  read(): Pick<Measured, 'cpuSeconds' | 'rssMb'> {
    const { user, system } = process.cpuUsage(this.#cpu)
    return { cpuSeconds: (user + system) / 1e6, rssMb: process.resourceUsage().maxRSS / 1_024 }
  }
}
