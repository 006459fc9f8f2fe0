export const serverNames = ['postgres', 'redis', 'amqp', 'sqs'] as const
export type ServerName = (typeof serverNames)[number]
export type Urls = Readonly<Partial<Record<ServerName, string>>>

/** How far a database is; undefined if the server is no database, or does not say. */
export interface Written {
  /** A place in its WAL, to find what was written after it. */
  readonly lsn: string | undefined
  readonly walBytes: number
  readonly commits: number | undefined
}

/** A server with a part that only this run uses. */
export interface OwnServer {
  readonly url: string
  /** For people: "PostgreSQL 15.20, synchronous_commit on". */
  readonly what: string
  /** Its process on this machine, whose descendants do the work; undefined if it cannot be seen. */
  readonly pid: number | undefined
  /** Called before a timed phase: does the work that earlier phases have left for later. */
  settle?(): Promise<void>
  written?(): Promise<Written>
  /** Insertions into indexes between two places of its log; undefined if nobody can read it. */
  indexEntries?(from: string, to: string): Promise<number | undefined>
  /** The size of tables and indexes. */
  diskBytes?(space: string): Promise<number>
  /** Removes everything named `space`. */
  wipe?(space: string): Promise<void>
  /** Gives back the part that was the run's own. */
  release(): Promise<void>
}

/** If the server is missing, resolves with the reason. `folder` is for what a server of the run's own stores. */
export type FindServer = (setting: string | undefined, folder: string) => Promise<OwnServer | string>

/** The URL of a server that a subject needs. */
export function getUrl(urls: Urls, name: ServerName): string {
  const url = urls[name]
  if (url === undefined) throw new Error(`there is no ${name} server in this run`)
  return url
}
