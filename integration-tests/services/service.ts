import type { ProvidedContext } from 'vitest'

/** A server for tests, and how to remove what was made for it. */
export interface Server {
  readonly url: string
  /** For people: "PostgreSQL 18.4, private, in a temporary folder". */
  readonly what: string
  stop(): Promise<void>
}

/** One kind of server. Each way resolves with undefined if it does not apply, and throws if it applies and fails. */
export interface Service {
  readonly name: keyof ProvidedContext
  /** The environment variable: a URL, or `private`, `container` or `none`. */
  readonly variable: string
  at(url: string): Promise<Server>
  answering(): Promise<Server | undefined>
  private(): Promise<Server | undefined>
  container(): Promise<Server | undefined>
}

export type Found =
  | { readonly server: Server; readonly why?: never }
  | { readonly server?: never; readonly why: string }

/** Finds a service in the fixed order: its variable, a server that answers, a private one, a container. */
export async function find(service: Service, setting: string | undefined): Promise<Found> {
  switch (setting) {
    case undefined:
    case '':
      return findFirst(service, ['answering', 'private', 'container'])
    case 'none':
      return { why: `${service.variable}=none` }
    case 'private':
    case 'container':
      return findFirst(service, [setting])
    default:
      // If a given URL does not answer, the user must know: do not look for another server.
      return { server: await service.at(setting) }
  }
}

async function findFirst(
  service: Service,
  ways: readonly ('answering' | 'private' | 'container')[],
): Promise<Found> {
  const reasons: string[] = []
  for (const way of ways) {
    try {
      const server = await service[way]()
      if (server) return { server }
      reasons.push(`${way}: not here`)
    } catch (error) {
      reasons.push(`${way}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return { why: reasons.join('; ') }
}
