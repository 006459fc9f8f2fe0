import { readCpuSeconds } from './process-cpu.ts'
import type { Measured } from './task.ts'

/** What this process, and the servers that work for it, used since `begin`. */
export class Usage {
  readonly #servers: readonly number[]
  #cpu = process.cpuUsage()
  #serversFrom = 0

  /** @param servers the processes whose descendants are the servers; empty if nobody knows them */
  constructor(servers: readonly number[]) {
    this.#servers = servers
  }

  begin(): void {
    this.#serversFrom = this.#readServers()
    this.#cpu = process.cpuUsage()
  }

  read(): Pick<Measured, 'cpuSeconds' | 'serverCpuSeconds' | 'rssMb'> {
    const { user, system } = process.cpuUsage(this.#cpu)
    return {
      cpuSeconds: (user + system) / 1e6,
      serverCpuSeconds: this.#readServers() - this.#serversFrom,
      rssMb: process.resourceUsage().maxRSS / 1_024,
    }
  }

  #readServers(): number {
    return this.#servers.reduce((sum, pid) => sum + readCpuSeconds(pid), 0)
  }
}
