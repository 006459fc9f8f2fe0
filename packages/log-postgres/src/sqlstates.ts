/**
 * What an answer of PostgreSQL says of the connection that it came over.
 * - `lost`: it is gone, or was never there; what became of the statement is unknown, and it is asked once more.
 * - `useless`: the statement was refused, so nothing was done; no later one would fare better, and it is asked once more on
 *   another connection.
 * - `worn`: the statement failed, and is not repeated; the next one gets another connection, because this one is suspect.
 */
type Verdict = 'lost' | 'useless' | 'worn'

/** By SQLSTATE, or the class of it; the longest that fits counts. What is not listed leaves its connection as it was. */
const verdicts: Readonly<Record<string, readonly [Verdict, string]>> = {
  '08': ['lost', 'connection exceptions; poolers report with 08P01 that their own server is away'],

  '25': ['worn', 'the session is in another transaction, or in another state of it, than this code believes'],
  '25006': [
    'useless',
    'read-only: a standby, or a server whose disk somebody saves; it may stay so for ever',
  ],
  '25P03': ['lost', 'idle_in_transaction_session_timeout: the server has ended the session'],
  '25P04': ['lost', 'transaction_timeout: the server has ended the session'],

  '26000': ['useless', 'no such prepared statement: somebody, a pooler for one, has reset the session'],
  '42P05': ['useless', 'there is such a prepared statement: a pooler has given the session of somebody else'],
  '0A000': [
    'useless',
    'a cached plan must not change result type: the schema has changed under a prepared statement',
  ],

  '53000': ['worn', 'no file handle or process left, for this backend first'],
  '53200': ['worn', 'out of memory, for this backend first: a new one begins with less'],
  '53300': ['lost', 'too many connections: there is none'],
  // 53100, disk full, and 53400, a limit of the configuration: the statement was taken back, and the connection is well.

  '57P01': ['lost', 'ended by an operator, or a server that shuts down'],
  '57P02': ['lost', 'another backend has crashed, and the server begins again'],
  '57P03': ['lost', 'starting up, shutting down, or in recovery without hot standby'],
  '57P04': ['lost', 'the database was dropped'],
  '57P05': ['lost', 'idle_session_timeout'],
  // 57014, cancelled: by statement_timeout or an operator; the connection is well.

  '58': [
    'worn',
    'errors of the server’s own system: a file that is gone after an upgrade, input or output that failed',
  ],
  XX: [
    'worn',
    'internal errors: caches of this backend that no longer fit, corruption, and whatever poolers mean by it',
  ],
}

export function classify(state: string): Verdict | undefined {
  return (verdicts[state] ?? verdicts[state.slice(0, 2)])?.[0]
}
