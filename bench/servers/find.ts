import { isCpuKnown } from '../measure/process-cpu.ts'
import { findPostgres } from './postgres.ts'
import { findRabbitmq } from './rabbitmq.ts'
import { findRedis } from './redis.ts'
import { findSqs } from './sqs.ts'
import { serverNames } from './server.ts'
import type { FindServer, OwnServer, ServerName, Urls, Written } from './server.ts'

/** The names that the tests use, and one more. `none` does without. */
const places: Readonly<Record<ServerName, { readonly variable: string; readonly find: FindServer }>> = {
  postgres: { variable: 'ERRAND_TEST_POSTGRES', find: findPostgres },
  redis: { variable: 'ERRAND_BENCH_REDIS', find: findRedis },
  amqp: { variable: 'ERRAND_TEST_AMQP', find: findRabbitmq },
  sqs: { variable: 'ERRAND_TEST_SQS', find: findSqs },
}

/** The servers of one run. */
export class Servers {
  readonly missing: Partial<Record<ServerName, string>> = {}
  readonly #found = new Map<ServerName, OwnServer>()
  readonly #used = new Set<string>()
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** @param needed only these are looked for */
  async find(needed: ReadonlySet<ServerName>): Promise<void> {
    for (const name of serverNames) {
      if (!needed.has(name)) continue
      const { variable, find } = places[name]
      const setting = process.env[variable] || undefined
      const found = setting === 'none' ? `${variable}=none` : await find(setting, this.#folder)
      if (typeof found === 'string') this.missing[name] = found
      else this.#found.set(name, found)
    }
  }

  get urls(): Urls {
    return Object.fromEntries([...this.#found].map(([name, { url }]) => [name, url]))
  }

  get what(): readonly string[] {
    return [...this.#found.values()].map(({ what }) => what)
  }

  /** The processes whose descendants work for a subject. Only those whose use this machine shows. */
  listPids(names: readonly ServerName[]): readonly number[] {
    return names
      .map((name) => this.#found.get(name)?.pid)
      .filter((pid) => pid !== undefined && isCpuKnown(pid)) as number[]
  }

  async settle(names: readonly ServerName[]): Promise<void> {
    for (const name of names) await this.#found.get(name)?.settle?.()
  }

  /** How far the database is that a subject needs. */
  async written(names: readonly ServerName[]): Promise<Written> {
    const nothing: Written = { lsn: undefined, walBytes: 0, commits: undefined }
    return (await this.#findDatabase(names)?.written?.()) ?? nothing
  }

  async indexEntries(names: readonly ServerName[], from: string, to: string): Promise<number | undefined> {
    return this.#findDatabase(names)?.indexEntries?.(from, to)
  }

  async diskBytes(names: readonly ServerName[], space: string): Promise<number | undefined> {
    return this.#findDatabase(names)?.diskBytes?.(space)
  }

  #findDatabase(names: readonly ServerName[]): OwnServer | undefined {
    return names.includes('postgres') ? this.#found.get('postgres') : undefined
  }

  /** Notes that a space is in use, so that an interrupted run leaves nothing of it. */
  use(space: string): void {
    this.#used.add(space)
  }

  async wipe(names: readonly ServerName[], space: string): Promise<void> {
    for (const name of names) await this.#found.get(name)?.wipe?.(space)
    this.#used.delete(space)
  }

  async release(): Promise<void> {
    const found = [...this.#found.values()]
    this.#found.clear()
    for (const server of found) {
      for (const space of this.#used) await server.wipe?.(space)
      await server.release()
    }
  }
}
