export const serverNames = ['postgres', 'redis', 'amqp', 'sqs'] as const
export type ServerName = (typeof serverNames)[number]
export type Urls = Readonly<Partial<Record<ServerName, string>>>

/** A server of which the run has a part to itself. */
export interface OwnServer {
  readonly url: string
  /** For people: "PostgreSQL 15.20, synchronous_commit on". */
  readonly what: string
  /** Before a timed phase: what earlier phases left for later is done now. */
  settle?(): Promise<void>
  /** Removes everything named `space`. */
  wipe?(space: string): Promise<void>
  /** Gives back the part that was the run's own. */
  release(): Promise<void>
}

/** Resolves with why there is none where the server is missing. */
export type FindServer = (setting: string | undefined) => Promise<OwnServer | string>

/** The URL that a subject declared to need. */
export function getUrl(urls: Urls, name: ServerName): string {
  const url = urls[name]
  if (url === undefined) throw new Error(`there is no ${name} server in this run`)
  return url
}
