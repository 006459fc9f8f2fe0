import type {
  Expedited,
  ExpediteOptions,
  Logger,
  LostForGood,
  QueueName,
  SweepOptions,
  SweepReport,
  Ticket,
} from '@errand/core/ports'
import { splitIntoBatches } from './batches.ts'
import type { Database, Row } from './database.ts'
import { arrayLiteral, isUuid } from './literals.ts'
import { despiteData } from './set-aside.ts'
import { lane, number, storedColumns, toStoredJob } from './rows.ts'

const partitionsPauseMs = 3_600_000

const nothing: SweepReport = {
  ran: false,
  tickets: [],
  republished: [],
  failed: [],
  lost: 0,
  full: false,
  schedules: [],
  nextDueInMs: undefined,
}

/** What relays do: `sweep`, `published`, `expedite` and `passNotes` of the port. */
export class Sweeps {
  readonly #database: Database
  readonly #logger: Logger
  readonly #logId: () => string
  /** By the process's clock, ms: who lacks the right to make partitions does not say so every second. */
  #partitionsAfter = 0

  constructor(database: Database, logger: Logger, logId: () => string) {
    this.#database = database
    this.#logger = logger
    this.#logId = logId
  }

  async sweep(options: SweepOptions): Promise<SweepReport> {
    const ask = (): Promise<readonly Row[]> =>
      this.#database.query(
        'errand_sweep',
        `select * from ${this.#database.rule('sweep')}($1, $2, $3, $4, $5, $6)`,
        [
          options.limit,
          options.republish,
          arrayLiteral(options.queues) ?? '{}',
          arrayLiteral(options.skipQueues) ?? '{}',
          arrayLiteral(options.schedules?.names ?? []) ?? '{}',
          arrayLiteral(options.schedules?.jobs ?? []) ?? '{}',
        ],
        // What a lost answer had listed is listed again after its grace.
        { repeatable: false },
      )
    const rows = await this.#despiteData(options.limit, ask)
    if (rows.length === 0) return nothing
    const of = (kind: string): Row[] => rows.filter((row) => row[0] === kind)
    if (of('partitions').length > 0) await this.#makePartitions()
    const republished = of('republished').map((row) => this.#ticket(row))
    const next = of('next')[0]
    return {
      ran: true,
      tickets: [...of('ticket').map((row) => this.#ticket(row)), ...republished],
      republished,
      failed: await this.#lostForGood(of('failed')),
      lost: of('lost').length,
      full: of('full').length > 0,
      schedules: of('schedule').flatMap((row) => row[4] ?? []),
      nextDueInMs: next === undefined ? undefined : Math.max(0, number(next[4])),
    }
  }

  async published(tickets: readonly Ticket[]): Promise<void> {
    const ids = tickets.filter(({ id }) => isUuid(id)).map(({ id }) => id)
    for (const batch of splitIntoBatches(ids)) {
      await this.#database.query('errand_published', `select ${this.#database.rule('published')}($1)`, [
        arrayLiteral(batch),
      ])
    }
  }

  async expedite(queues: readonly QueueName[], { limit, leftMs = 0 }: ExpediteOptions): Promise<Expedited> {
    const rows = await this.#database.query(
      'errand_expedite',
      `select ${this.#database.rule('expedite')}($1, $2, $3)`,
      [arrayLiteral(queues) ?? '{}', limit, leftMs],
    )
    const jobs = number(rows[0]?.[0])
    return { jobs, more: jobs === limit }
  }

  async passNotes(limit: number): Promise<readonly Ticket[]> {
    const { schema } = this.#database
    const rows = await this.#despiteData(limit, () =>
      this.#database.query(
        'errand_pass_keys',
        `select '', p.id, p.queue, p.lane from ${this.#database.rule('pass_notes')}($1, ${schema}.clock()) p`,
        [limit],
      ),
    )
    return rows.map((row) => this.#ticket(row))
  }

  /** A job whose row cannot be worked with is failed with its reason, and the sweep goes on with the others. */
  #despiteData(limit: number, ask: () => Promise<readonly Row[]>): Promise<readonly Row[]> {
    const call = { name: 'set_aside_unsweepable', parameters: [limit] }
    return despiteData(this.#database, this.#logger, call, ask)
  }

  async #lostForGood(rows: readonly Row[]): Promise<readonly LostForGood[]> {
    if (rows.length === 0) return []
    const { schema } = this.#database
    const jobs = await this.#database.query(
      'errand_lost_jobs',
      `select ${storedColumns(schema, 'j', 'l')} from ${schema}.known j left join ${schema}.live l on l.id = j.id
        where j.id = any ($1::uuid[])`,
      [arrayLiteral(rows.map((row) => row[1]))],
    )
    const notes = new Map(rows.map((row) => [row[1], row[4] ?? '']))
    return jobs.map((row) => {
      const [run, attempt, text = ''] = (notes.get(row[0] ?? null) ?? '').split('\t')
      const error = { codec: 'json', text }
      return { job: toStoredJob(row), error, cause: 'lost', run: Number(run), attempt: Number(attempt) }
    })
  }

  /** Days of events ahead. Any instance that notices tries to make them. Without the right to, events go to the default partition. */
  async #makePartitions(): Promise<void> {
    if (performance.now() < this.#partitionsAfter) return
    try {
      await this.#database.query('', `select ${this.#database.rule('ensure_partitions')}(14)`)
    } catch (error) {
      this.#partitionsAfter = performance.now() + partitionsPauseMs
      this.#logger.warn(
        { reason: (error as Error).message },
        'no partitions could be made for the events of the next days; errand migrate makes them',
      )
    }
  }

  #ticket(row: Row): Ticket {
    return { id: row[1]!, queue: row[2]!, lane: lane(row[3]), log: this.#logId() }
  }
}
