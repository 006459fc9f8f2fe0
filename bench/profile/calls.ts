import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { intercept, pgClients, shortened, statementName } from './intercept.ts'

/** One kind of call to a server (or to SQLite), in the timed part. */
export interface Counted {
  /** The name of a prepared statement, the beginning of a text, or the action of SQS. */
  readonly name: string
  readonly calls: number
}

export interface Calls {
  begin(): void
  read(): readonly Counted[]
}

/**
 * Counts calls where the client libraries make them: each call of pg's `Client.query` is one statement; each request of the
 * AWS SDK is one; a statement of node:sqlite is a call into the library.
 */
export function countCalls(subject: string): Calls {
  const counts = new Map<string, number>()
  const count = (name: string): void => {
    const short = shortened(name)
    counts.set(short, (counts.get(short) ?? 0) + 1)
  }
  countPg(count)
  countHttp(count)
  if (subject.includes('sqlite')) countSqlite(count)
  return {
    begin: () => counts.clear(),
    read: () => [...counts].map(([name, calls]) => ({ name, calls })).toSorted((a, b) => b.calls - a.calls),
  }
}

function countPg(count: (name: string) => void): void {
  for (const prototype of pgClients()) {
    listen(prototype, 'query', (_, [query]) => count(statementName(query)))
  }
}

function countHttp(count: (name: string) => void): void {
  subscribe('http.client.request.start', (message) => {
    const { request } = message as { readonly request: ClientRequest }
    const target = request.getHeader('x-amz-target')
    count(typeof target === 'string' ? target : request.method)
  })
}

function countSqlite(count: (name: string) => void): void {
  for (const method of ['run', 'get', 'all', 'iterate'])
    listen(StatementSync.prototype, method, (statement) => count((statement as StatementSync).sourceSQL))
  listen(DatabaseSync.prototype, 'exec', (_, [sql]) => count(sql as string))
}

/** Calls `heard` before each call of a method. */
function listen(
  prototype: object,
  method: string,
  heard: (self: unknown, given: readonly unknown[]) => void,
): void {
  intercept(prototype, method, (call, given, self) => {
    heard(self, given)
    return call()
  })
}
