import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { intercept, pgClients, shortened, statementText } from './intercept.ts'

/** One kind of call to a server (or to SQLite), in the timed part. */
export interface Counted {
  /** A request is one of HTTP: to SQS. */
  readonly kind: 'statement' | 'request'
  /** The name of a prepared statement, the beginning of a text, or the action of SQS. */
  readonly name: string
  readonly calls: number
}

export interface Calls {
  begin(): void
  read(): readonly Counted[]
}

type Count = (kind: Counted['kind'], name: string) => void

/**
 * Counts calls where the client libraries make them: each call of pg's `Client.query` is one statement; each request of the
 * AWS SDK is one; a statement of node:sqlite is a call into the library.
 *
 * @param sqlite also counts SQLite's statements; a job has several, and counting them takes noticeable time
 */
export function countCalls(sqlite: boolean): Calls {
  const counts = { statement: new Map<string, number>(), request: new Map<string, number>() }
  const count: Count = (kind, name) => {
    counts[kind].set(name, (counts[kind].get(name) ?? 0) + 1)
  }
  countPg(count)
  countHttp(count)
  if (sqlite) countSqlite(count)
  const all = (kind: Counted['kind']): Counted[] =>
    [...counts[kind]].map(([name, calls]) => ({ kind, name: shortened(name), calls }))
  return {
    begin: () => {
      counts.statement.clear()
      counts.request.clear()
    },
    read: () => [...all('statement'), ...all('request')].toSorted((a, b) => b.calls - a.calls),
  }
}

/** How many of a kind. */
export function countKind(calls: readonly Counted[], kind: Counted['kind']): number {
  return calls.reduce((sum, one) => sum + (one.kind === kind ? one.calls : 0), 0)
}

function countPg(count: Count): void {
  for (const prototype of pgClients()) {
    listen(prototype, 'query', (_, [query]) => count('statement', statementText(query)))
  }
}

function countHttp(count: Count): void {
  subscribe('http.client.request.start', (message) => {
    const { request } = message as { readonly request: ClientRequest }
    const target = request.getHeader('x-amz-target')
    count('request', typeof target === 'string' ? target : request.method)
  })
}

function countSqlite(count: Count): void {
  for (const method of ['run', 'get', 'all', 'iterate'])
    listen(StatementSync.prototype, method, (statement) =>
      count('statement', (statement as StatementSync).sourceSQL),
    )
  listen(DatabaseSync.prototype, 'exec', (_, [sql]) => count('statement', sql as string))
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
