import { ErrandError, laneRank } from '@errand/core/ports'
import type { Appended, AppendOptions, NewJob, Ticket } from '@errand/core/ports'
import { batchesOf, halving } from './batches.ts'
import { stateOf, uniqueCode } from './codes.ts'
import type { Database, Run } from './database.ts'
import { insideError, isLockTimeout, isRefusedData } from './failures.ts'
import { arrayLiteral, isStorable, isUuid, jsonMembers } from './literals.ts'
import type { Cell } from './literals.ts'
import { insideOf } from './transaction.ts'

/** How long an append waits for a key that another transaction holds; halves of a batch look only for the culprit. */
const keyWaitMs = 3_000
const halfKeyWaitMs = 250

const column =
  (of: (job: NewJob) => Cell) =>
  (jobs: readonly NewJob[]): string | null =>
    arrayLiteral(jobs.map(of))

/** The parameters of the function, in its order; see its migration. */
const columns: readonly ((jobs: readonly NewJob[]) => string | null)[] = [
  column((job) => job.id),
  column((job) => job.name),
  column((job) => job.payloadVersion),
  column((job) => job.queue),
  column((job) => laneRank[job.lane]),
  column((job) => job.payload.codec),
  column((job) => job.payload.text),
  column((job) => (job.tags.length === 0 ? null : arrayLiteral(job.tags))),
  column((job) => (Object.keys(job.meta).length === 0 ? null : JSON.stringify(job.meta))),
  column((job) => job.ordering?.key),
  column((job) => (job.ordering?.onFailure === 'skip' ? true : null)),
  column((job) => job.unique?.key),
  column(
    (job) =>
      job.unique && (job.unique.until === 'started' ? uniqueCode.untilStarted : uniqueCode.untilFinished),
  ),
  column((job) => job.unique?.forMs),
  column((job) => (job.due && 'delayMs' in job.due ? Math.round(job.due.delayMs) : null)),
  column((job) => (job.due && 'at' in job.due ? Math.round(job.due.at) : null)),
  column((job) => job.expiresMs),
  column((job) => job.parentId),
  column((job) => job.batchId),
  column((job) => job.publishGraceMs),
  column((job) => job.maxAttempts),
  column((job) => job.maxCrashes),
  column((job) => (job.onCrash === 'fail' ? true : null)),
  column((job) => job.timeoutMs),
  column((job) => jsonMembers({ orderingKey: job.ordering?.key, parentId: job.parentId })),
]
const placeholders = Array.from({ length: columns.length + 1 }, (_, index) => `$${index + 1}`).join(', ')

/** Stores jobs: `append` of the port. */
export class Appender {
  readonly #database: Database
  readonly #text: string
  readonly #logId: () => string

  constructor(database: Database, logId: () => string) {
    this.#database = database
    this.#text = `select ${database.schema}.append(${placeholders}) as answer`
    this.#logId = logId
  }

  async append(jobs: readonly NewJob[], options: AppendOptions): Promise<readonly Appended[]> {
    const answers = new Map<string, Appended>()
    const fit: NewJob[] = []
    const seen = new Set<string>()
    for (const job of jobs) {
      if (seen.has(job.id)) continue
      seen.add(job.id)
      const why = unstorable(job)
      if (why === undefined) fit.push(job)
      else answers.set(job.id, { id: job.id, status: 'refused', why })
    }
    const atomic = options.atomic === true || options.tx !== undefined
    if (atomic && answers.size > 0) throw refusedBatch(jobs, answers)

    const appended = options.tx
      ? await this.#inside(fit, options.tx)
      : atomic
        ? await this.#atomic(fit)
        : await this.#lines(fit)
    for (const [index, job] of fit.entries()) answers.set(job.id, appended[index]!)

    // Of one id twice in a call, the second is the duplicate.
    return jobs.map((job) => {
      const answer = answers.get(job.id)
      if (!answer) return { id: job.id, status: 'duplicate' }
      if (answer.status !== 'refused') answers.delete(job.id)
      return answer
    })
  }

  /** Jobs with a key may have to wait for somebody's transaction, so they have a line of their own. */
  async #lines(jobs: readonly NewJob[]): Promise<readonly Appended[]> {
    const plain = jobs.filter((job) => !hasKey(job))
    const keyed = jobs.filter((job) => hasKey(job))
    const [ofPlain, ofKeyed] = await Promise.all([this.#line(plain), this.#line(keyed)])
    const next = [ofPlain[Symbol.iterator](), ofKeyed[Symbol.iterator]()] as const
    return jobs.map((job) => next[hasKey(job) ? 1 : 0].next().value!)
  }

  async #line(jobs: readonly NewJob[]): Promise<readonly Appended[]> {
    const appended: Appended[] = []
    for (const batch of batchesOf(jobs, bytesOf)) {
      appended.push(
        ...(await halving<NewJob, Appended>(batch, {
          run: (part, half) => this.#store(part, half),
          isCulprit: (error) => isRefusedData(error) || isLockTimeout(error),
          alone: ({ id }, error) => ({
            id,
            status: 'refused',
            why: isLockTimeout(error)
              ? 'another transaction holds its ordering key or unique key; dispatch it again'
              : (error as Error).message,
          }),
        })),
      )
    }
    return appended
  }

  async #store(jobs: readonly NewJob[], half: boolean): Promise<readonly Appended[]> {
    const wait = jobs.some(hasKey) ? `${half && jobs.length > 1 ? halfKeyWaitMs : keyWaitMs}ms` : null
    const [row] = await this.#database.query('errand_append', this.#text, parameters(jobs, wait))
    return this.#read(jobs, row?.[0] ?? '')
  }

  async #atomic(jobs: readonly NewJob[]): Promise<readonly Appended[]> {
    const all = async (run: Run): Promise<readonly Appended[]> => {
      const appended: Appended[] = []
      for (const batch of batchesOf(jobs, bytesOf)) {
        const [row] = await run(this.#text, parameters(batch, `${keyWaitMs}ms`))
        appended.push(...this.#read(batch, row?.[0] ?? ''))
      }
      return appended
    }
    try {
      return await this.#database.transaction(all)
    } catch (error) {
      if (!isRefusedData(error)) throw error
      throw refusedBatch(jobs, await this.#culprits(jobs), error)
    }
  }

  /** Which jobs of a refused batch the database does not take: tried one by one in halves, and nothing kept. */
  async #culprits(jobs: readonly NewJob[]): Promise<Map<string, Appended>> {
    const found = new Map<string, Appended>()
    const tried = new Error('tried')
    await halving<NewJob, undefined>(jobs, {
      run: async (part) => {
        await this.#database
          .transaction(async (run) => {
            for (const batch of batchesOf(part, bytesOf))
              await run(this.#text, parameters(batch, `${halfKeyWaitMs}ms`))
            throw tried
          })
          .catch((error: unknown) => {
            if ((error as Error).cause !== tried) throw error
          })
        return part.map(() => undefined)
      },
      isCulprit: isRefusedData,
      alone: ({ id }, error) => void found.set(id, { id, status: 'refused', why: (error as Error).message }),
    })
    return found
  }

  async #inside(jobs: readonly NewJob[], tx: NonNullable<AppendOptions['tx']>): Promise<readonly Appended[]> {
    const inside = insideOf(tx)
    const appended: Appended[] = []
    try {
      // How long to wait for a key is here the caller's own setting.
      for (const batch of batchesOf(jobs, bytesOf))
        appended.push(...this.#read(batch, await inside(this.#text, parameters(batch, null))))
    } catch (error) {
      throw insideError(error, this.#database.place)
    }
    return appended
  }

  #read(jobs: readonly NewJob[], answer: string): readonly Appended[] {
    const words = answer.split(',')
    if (words.length !== jobs.length)
      throw new ErrandError('E_LOG', `the log answered ${words.length} of ${jobs.length} jobs`)
    return jobs.map((job, index): Appended => {
      const word = words[index] ?? ''
      if (word.startsWith('d')) return { id: word.slice(1) || job.id, status: 'duplicate' }
      const state = stateOf(word)
      return { id: job.id, status: 'added', state, ticket: state === 'ready' ? this.#ticket(job) : undefined }
    })
  }

  #ticket({ id, queue, lane }: NewJob): Ticket {
    return { id, queue, lane, log: this.#logId() }
  }
}

function parameters(jobs: readonly NewJob[], lockTimeout: string | null): (string | null)[] {
  return [...columns.map((of) => of(jobs)), lockTimeout]
}

function hasKey(job: NewJob): boolean {
  return job.ordering !== undefined || job.unique !== undefined
}

function bytesOf(job: NewJob): number {
  return job.payload.text.length + 300
}

/** What PostgreSQL would refuse, or the wire silently change: found here, no neighbour has to be asked twice for it. */
function unstorable(job: NewJob): string | undefined {
  if (!isUuid(job.id)) return `its id ${JSON.stringify(job.id)} is not a UUID`
  if (!isStorable(job.payload.text))
    return 'its payload holds a NUL or half of a surrogate pair, which no text can store'
  const names = [job.name, job.queue, job.ordering?.key, job.unique?.key, ...job.tags]
  if (names.some((name) => name !== undefined && !isStorable(name)))
    return 'its name, a key or a tag holds a NUL or half of a surrogate pair'
  return undefined
}

function refusedBatch(
  jobs: readonly NewJob[],
  refused: ReadonlyMap<string, Appended>,
  cause?: unknown,
): ErrandError {
  const requests = jobs.map(({ id }) => {
    const answer = refused.get(id)
    return answer?.status === 'refused' ? new ErrandError('E_LOG', `job ${id}: ${answer.why}`) : undefined
  })
  const first = requests.find((error) => error !== undefined)
  return new ErrandError(
    'E_BATCH_REFUSED',
    `nothing was stored; ${first?.message ?? 'the database refused the data'}`,
    {
      cause,
      ids: jobs.map(({ id }) => id),
      requests,
    },
  )
}
