import { randomBytes, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { postgres } from '@errand/log-postgres'
import { createErrand } from 'errand'
import { Pool } from 'pg'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import { gather } from './gather.ts'
import { logFunction } from './log-functions.ts'
import type { LogFunction } from './log-functions.ts'
import type { OpenSubject, Started } from './subject.ts'

/*
 * The SQL functions of the log, called in a loop by pg (8.23): no core, no driver, no worker; no publishing, retries,
 * heartbeats or sweeps. Of the answers the ids, the runs and the payloads are read, and nothing else. While the outcomes of
 * one batch are settled, the next batch is taken, on another connection.
 */
export const batchesOfSlots: OpenSubject = (place) => open(place, undefined)
/** As many at a time as the log allows: more prefetched jobs than 50 slots would. */
export const batchesOf500: OpenSubject = (place) => open(place, 500)

const mostAppended = 500
const queue = 'bench'
const normalLane = 300
const succeed = 1
const leaseMs = 3_600_000
const graceMs = 25_000
const emptyHandedMs = 1

function open(
  { urls, space }: Parameters<OpenSubject>[0],
  most: number | undefined,
): ReturnType<OpenSubject> {
  const url = getUrl(urls, 'postgres')
  const pool = new Pool({ connectionString: url, max: 4, options: '-c jit=off' })
  const worker = randomUUID()
  let appending: Promise<LogFunction> | undefined
  const closing = new AbortController()
  let loop: Promise<unknown> = Promise.resolve()

  const store = async (payloads: readonly Payload[]): Promise<unknown> => {
    const append = await (appending ??= logFunction(pool, space, 'append'))
    const all = (value: string | number): string => `{${payloads.map(() => value).join(',')}}`
    return append({
      p_ids: `{${payloads.map(newId).join(',')}}`,
      p_names: all('bench.noop'),
      p_payload_versions: all(1),
      p_queues: all(queue),
      p_lanes: all(normalLane),
      p_codecs: all('json'),
      p_payloads: literal(payloads.map((payload) => JSON.stringify(payload))),
      p_graces: all(30_000),
      p_attempts: all(5),
      p_crashes: all(3),
      p_timeouts: all(900_000),
    })
  }

  async function run(started: Started, slots: number): Promise<void> {
    const take = await logFunction(pool, space, 'take')
    const settle = await logFunction(pool, space, 'settle')
    const settleAll = async (jobs: readonly Record<string, string | null>[]): Promise<void> => {
      const list = (of: (job: Record<string, string | null>) => string | number | null | undefined): string =>
        `{${jobs.map(of).join(',')}}`
      const answer = await settle({
        p_ids: list(({ id }) => id),
        p_runs: list(({ run }) => run),
        p_kinds: list(() => succeed),
        p_durations: list(() => String.raw`"\"durationMs\":0"`),
        p_worker: worker,
      })
      const text = Object.values(answer[0] ?? {})[0] ?? ''
      if (text.split('settled').length - 1 !== jobs.length) throw new Error(`not all were settled: ${text}`)
    }
    let settling: Promise<void> = Promise.resolve()
    while (!closing.signal.aborted) {
      const rows = await take({
        p_queues: `{${queue}}`,
        p_max: most ?? slots,
        p_worker: worker,
        p_request: randomUUID(),
        p_grace_ms: graceMs,
        p_data: '{"host":"here"}',
        p_lowest: 0,
        p_overdue: false,
      })
      // One row only has the time of the search.
      const jobs = rows.filter(({ id }) => id !== null)
      for (const { payload } of jobs) void started(JSON.parse(payload ?? '') as Payload)
      await settling
      if (jobs.length === 0) await pause(emptyHandedMs)
      else {
        settling = settleAll(jobs)
        settling.catch(() => undefined)
      }
    }
    await settling
  }

  return {
    prepare: async () => {
      await using errand = createErrand({ log: postgres({ url, schema: space }) })
      await errand.migrate()
    },
    enqueue1: gather(mostAppended, store),
    enqueueBulk: store,
    work: async (started, concurrency) => {
      const beat = await logFunction(pool, space, 'beat')
      await beat({
        p_id: worker,
        p_host: hostname(),
        p_pid: process.pid,
        p_lease_ms: leaseMs,
        p_queues: `{${queue}}`,
        p_taking: true,
        p_drivers: '{}',
      })
      loop = run(started, concurrency).catch((error: unknown) => {
        console.error(error)
        process.exit(1)
      })
    },
    close: async () => {
      closing.abort()
      await loop
      await pool.end()
    },
  }
}

function literal(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}

/** UUIDv7: ids that grow with time, so that indexes grow at one end, as Errand's do. */
function newId(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  const random = randomBytes(10).toString('hex')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`
}
