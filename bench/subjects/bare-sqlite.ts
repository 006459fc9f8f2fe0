import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Payload } from '../measure/payload.ts'
import { gather } from './gather.ts'
import type { OpenSubject } from './subject.ts'

/*
 * Bare statements of the log's shape on node:sqlite (WAL, synchronous=FULL): a row that changes, a row for the payload, a
 * row of history for each of three events, with the log's indexes on what they touch. Prepared once, a transaction per
 * batch; settled and taken in one transaction. No engine, no worker.
 */
const schema = `
  create table if not exists jobs (sequence integer primary key autoincrement, id text not null unique, name text not null,
    queue text not null, lane integer not null, state text not null, run integer not null, attempt integer not null,
    version integer not null, worker text, deadline integer, publish_after integer, finished_at integer,
    max_attempts integer not null, timeout_ms integer, tags text not null, dispatched_at integer not null) strict;
  create index if not exists jobs_ready on jobs (queue, lane, sequence) where state = 'ready';
  create index if not exists jobs_unpublished on jobs (publish_after) where state = 'ready';
  create index if not exists jobs_running on jobs (worker) where state = 'running';
  create index if not exists jobs_finished on jobs (state, finished_at) where state = 'succeeded';
  create table if not exists payloads (sequence integer primary key, codec text not null, payload text not null,
    meta text not null) strict;
  create table if not exists events (position integer primary key autoincrement, job_id text not null,
    version integer not null, type text not null, state text not null, name text not null, queue text not null,
    tags text not null, at integer not null, run integer not null, attempt integer not null, worker text,
    data text not null) strict;
  create index if not exists events_job on events (job_id, version);`

const emptyHandedMs = 1

export const open: OpenSubject = ({ folder, space }) => {
  const database = new DatabaseSync(join(folder, `${space}.db`), { timeout: 5_000 })
  database.exec(`pragma journal_mode = wal; pragma synchronous = full; ${schema}`)
  const insertJob =
    database.prepare(`insert into jobs (id, name, queue, lane, state, run, attempt, version, publish_after,
    max_attempts, timeout_ms, tags, dispatched_at) values (?, 'bench.noop', 'bench', 300, 'ready', 0, 0, 1, ?, 5, 900000, '[]', ?)`)
  const insertPayload = database.prepare(`insert into payloads values (?, 'json', ?, '{}')`)
  const insertEvent =
    database.prepare(`insert into events (job_id, version, type, state, name, queue, tags, at, run, attempt,
    worker, data) values (?, ?, ?, ?, 'bench.noop', 'bench', '[]', ?, ?, ?, ?, ?)`)
  const next =
    database.prepare(`select j.sequence, j.id, p.payload from jobs j join payloads p on p.sequence = j.sequence
    where j.state = 'ready' and j.queue = 'bench' order by j.lane, j.sequence limit ?`)
  const start = database.prepare(`update jobs set state = 'running', run = run + 1, attempt = attempt + 1,
    version = version + 1, worker = ?, deadline = ?, publish_after = null where sequence = ? and state = 'ready'`)
  const end =
    database.prepare(`update jobs set state = 'succeeded', version = version + 1, worker = null, deadline = null,
    finished_at = ? where sequence = ? and run = 1 and worker = ? and state = 'running'`)
  const worker = randomUUID()

  const inTransaction = <T>(work: () => T): T => {
    database.exec('begin immediate')
    const result = work()
    database.exec('commit')
    return result
  }
  const store = (payloads: readonly Payload[]): void =>
    inTransaction(() => {
      for (const payload of payloads) {
        const [id, at] = [randomUUID(), Date.now()]
        const { lastInsertRowid } = insertJob.run(id, at + 30_000, at)
        insertPayload.run(lastInsertRowid, JSON.stringify(payload))
        insertEvent.run(id, 1, 'dispatched', 'ready', at, 0, 0, null, '{}')
      }
    })

  const closing = new AbortController()
  let loop: Promise<unknown> = Promise.resolve()
  return {
    prepare: async () => {},
    enqueue1: gather(500, store),
    enqueueBulk: async (payloads) => store(payloads),
    work: async (started, concurrency) => {
      const run = async (): Promise<void> => {
        let running: readonly Record<string, unknown>[] = []
        while (!closing.signal.aborted || running.length > 0) {
          const ended = running
          running = inTransaction(() => {
            const at = Date.now()
            for (const job of ended) {
              end.run(at, Number(job['sequence']), worker)
              insertEvent.run(
                String(job['id']),
                3,
                'succeeded',
                'succeeded',
                at,
                1,
                1,
                worker,
                '{"durationMs":0}',
              )
            }
            const taken = closing.signal.aborted ? [] : next.all(concurrency)
            for (const job of taken) {
              start.run(worker, at + 925_000, Number(job['sequence']))
              insertEvent.run(String(job['id']), 2, 'started', 'running', at, 1, 1, worker, '{"host":"here"}')
            }
            return taken
          })
          for (const job of running) void started(JSON.parse(String(job['payload'])) as Payload)
          // A turn for the event loop, as a worker would give it.
          await (running.length === 0
            ? new Promise((resolve) => setTimeout(resolve, emptyHandedMs))
            : new Promise((resolve) => setImmediate(resolve)))
        }
      }
      loop = run().catch((error: unknown) => console.error(error))
    },
    close: async () => {
      closing.abort()
      await loop
      database.close()
    },
  }
}
