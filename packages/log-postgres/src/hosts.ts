import { Client } from 'pg'
import { eachHost, ErrandError } from '@errand/core/ports'

/** Which servers to use, as libpq names them. A log is written, so read-only ones are no choice. */
export const sessionKinds = ['read-write', 'primary', 'any'] as const
export type SessionKind = (typeof sessionKinds)[number]

/** The servers of a log, and which one is asked next: the last one that worked, until it fails. */
export class Hosts {
  readonly #urls: readonly string[]
  #at = 0

  constructor(urls: readonly string[]) {
    this.#urls = urls
  }

  get count(): number {
    return this.#urls.length
  }

  /** The URL of the server to connect to. */
  get url(): string {
    return this.#urls[this.#at]!
  }

  /** The next connection tries the next server. If several failed at once, only the first counts. */
  failed(url: string): void {
    if (url === this.url) this.#at = (this.#at + 1) % this.#urls.length
  }

  /** Connects to the first server that is good enough, each tried once. */
  async inTurn<T>(connect: () => Promise<T>): Promise<T> {
    const errors: HostError[] = []
    for (;;) {
      try {
        return await connect()
      } catch (error) {
        if (!(error instanceof HostError)) throw error
        errors.push(error)
        if (errors.length < this.#urls.length) continue
        throw new AggregateError(errors, errors.map(({ message }) => message).join('; '), { cause: error })
      }
    }
  }
}

/** Why one of several servers was skipped. */
export class HostError extends Error {
  override readonly name = 'HostError'

  constructor(url: string, cause: unknown) {
    super(`${nameHost(url)}: ${cause instanceof Error ? cause.message || cause.name : String(cause)}`, {
      cause,
    })
  }
}

/**
 * One URL for each server that the URL names: in its place for the host (`a,b:5433`), or in the parameters `host` and
 * `port`, both of which libpq reads.
 * @throws `E_URL`
 */
export function splitHosts(url: string): readonly string[] {
  const [base = '', query] = url.split('?', 2)
  const given = new URLSearchParams(query)
  const hosts = given.get('host')?.split(',') ?? []
  const ports = given.get('port')?.split(',') ?? []
  if (hosts.length < 2 && ports.length < 2) return eachHost(url)
  if (hosts.includes('') || (ports.length > 1 && ports.length !== hosts.length))
    throw new ErrandError(
      'E_URL',
      'host and port in the URL of the log list several servers; give as many ports as hosts, or one for all, and no empty host',
    )
  return hosts.map((host, index) => {
    const parameters = new URLSearchParams(given)
    parameters.set('host', host)
    const port = ports[index] ?? ports[0]
    if (port !== undefined) parameters.set('port', port)
    return `${base}?${parameters.toString()}`
  })
}

/** Host and port, without user and password. */
export function nameHost(url: string): string {
  const { host, port } = new Client({ connectionString: url })
  return `${host}:${port}`
}
