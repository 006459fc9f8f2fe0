import { ErrandError } from '@errand/core/ports'
import type { Appended, AppendOptions, NewJob, Ticket } from '@errand/core/ports'
import {
  alikeParameters,
  appendAlikeCall,
  appendCall,
  appendCount,
  appendParameters,
  mayWait,
  placeholders,
} from './append-parameters.ts'
import { halving, splitIntoBatches } from './batches.ts'
import { toState } from './codes.ts'
import type { Behind, Database, Row, Run, Value } from './database.ts'
import { insideError, isDuplicateId, isLockTimeout, isRefusedData } from './failures.ts'
import { arrayLiteral, isStorable, isUuid } from './literals.ts'
import { recognizeTransaction } from './transaction.ts'
import { appendFlowsCount, appendFlowsParameters, findImpossible, toWhole, unstorableFlow } from './whole.ts'
import type { Whole } from './whole.ts'

/** How long an append waits for a key that another transaction holds. Halves of a batch only look for the culprit. */
const keyWaitMs = 3_000
const halfKeyWaitMs = 250
/** How long a tick waits for it: less than the server's `deadlock_timeout`, so that no deadlock ends the other transaction. */
const tickKeyWaitMs = 250
/**
 * How long an append with `passLocked` waits: as long as another dispatch may take to commit. Then it checks which keys
 * are locked.
 */
const passWaitMs = 10
const mostLooks = 3

/** A statement that stores jobs; the name is that of its plan. */
interface Call {
  readonly name: string
  readonly text: string
  readonly values: readonly Value[]
}
type Ask = (call: Call) => Promise<readonly Row[]>

/** Stores jobs: `append` of the port. */
export class Appender {
  readonly #database: Database
  readonly #append: string
  readonly #appendAlike: string
  readonly #appendFlows: string
  readonly #appendWhole: string
  readonly #lockedKeys: string
  readonly #logId: () => string

  constructor(database: Database, logId: () => string) {
    this.#database = database
    this.#append = appendCall(database.rule('append'))
    this.#appendAlike = appendAlikeCall(database.rule('append_alike'))
    const [flows, append] = [database.rule('append_flows'), database.rule('append')]
    this.#appendFlows = `select coalesce(${flows}(${placeholders(appendFlowsCount)}), '') as answer`
    // Its second part is called only if nothing is in the way, and sees what the first one has written.
    this.#appendWhole =
      `select coalesce(${flows}(${placeholders(appendFlowsCount)}),` +
      ` ${append}(${placeholders(appendCount, appendFlowsCount)})) as answer`
    this.#lockedKeys = `select ${database.rule('locked_keys')}($1, $2, $3, $4)`
    this.#logId = logId
  }

  /** @param behind is sent right behind the jobs if one statement stores them all. */
  async append(
    jobs: readonly NewJob[],
    options: AppendOptions,
    behind?: Behind,
  ): Promise<readonly Appended[]> {
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
    const whole = toWhole(fit, options.flows ?? [])
    const atomic = options.atomic === true || options.tx !== undefined || whole !== undefined
    if (atomic && answers.size > 0) throw refusedBatch(jobs, answers)

    const appended = whole
      ? await this.#whole(fit, whole, options, behind)
      : options.tx
        ? await this.#inside(fit, options.tx)
        : atomic
          ? await this.#atomic(fit, behind)
          : options.passLocked === true
            ? await this.#passing(fit, behind)
            : await this.#lines(fit, behind)
    if (fit.length === jobs.length) return appended
    for (const [index, job] of fit.entries()) answers.set(job.id, appended[index]!)

    // If an id comes twice in a call, the second one is the duplicate.
    return jobs.map((job) => {
      const answer = answers.get(job.id)
      if (!answer) return { id: job.id, status: 'duplicate' }
      if (answer.status !== 'refused') answers.delete(job.id)
      return answer
    })
  }

  /**
   * Stores the jobs of ticks in a transaction of the log's own. Refuses alone what can be seen to be unstorable.
   * @throws for what the database refuses, and for a key that stays locked
   */
  async within(run: Run, jobs: readonly NewJob[]): Promise<readonly Appended[]> {
    const fit = jobs.filter((job) => unstorable(job) === undefined)
    const stored = new Map<NewJob, Appended>()
    for (const batch of splitIntoBatches(fit, weigh)) {
      const [row] = await run(this.#append, appendParameters(batch, `${tickKeyWaitMs}ms`))
      for (const [index, answer] of this.#read(batch, row?.[0] ?? '').entries())
        stored.set(batch[index]!, answer)
    }
    return jobs.map((job) => stored.get(job) ?? { id: job.id, status: 'refused', why: unstorable(job) ?? '' })
  }

  /** Jobs with a key may have to wait for another transaction, so they have a line of their own. */
  async #lines(jobs: readonly NewJob[], behind?: Behind): Promise<readonly Appended[]> {
    const plain = jobs.filter((job) => !mayWait(job))
    const keyed = jobs.filter((job) => mayWait(job))
    if (plain.length === 0) return this.#line(keyed, behind)
    if (keyed.length === 0) return this.#line(plain, behind)
    const [ofPlain, ofKeyed] = await Promise.all([this.#line(plain), this.#line(keyed)])
    const next = [ofPlain[Symbol.iterator](), ofKeyed[Symbol.iterator]()] as const
    return jobs.map((job) => next[mayWait(job) ? 1 : 0].next().value!)
  }

  async #line(jobs: readonly NewJob[], behind?: Behind): Promise<readonly Appended[]> {
    const appended: Appended[] = []
    const batches = splitIntoBatches(jobs, weigh)
    for (const batch of batches) {
      appended.push(
        ...(await halving<NewJob, Appended>(batch, {
          run: (part, half) => this.#store(part, half, half || batches.length > 1 ? undefined : behind),
          isCulprit: (error) => isRefusedData(error) || isLockTimeout(error),
          alone: ({ id }, error) => ({
            id,
            status: 'refused',
            why: isLockTimeout(error)
              ? 'another transaction holds its ordering key, its unique key or its id; dispatch it again'
              : (error as Error).message,
          }),
        })),
      )
    }
    return appended
  }

  async #store(jobs: readonly NewJob[], half: boolean, behind?: Behind): Promise<readonly Appended[]> {
    const wait = jobs.some(mayWait) ? `${half && jobs.length > 1 ? halfKeyWaitMs : keyWaitMs}ms` : null
    // In the order of the calls, so that jobs are granted in that order. Jobs that may wait for a lock must not delay
    // the others.
    const inLine = wait === null
    const ask: Ask = ({ name, text, values }) => this.#database.query(name, text, values, { inLine, behind })
    return this.#unlessStored((alike) => this.#batch(jobs, wait, ask, alike))
  }

  /** Stores the jobs that need not wait for another transaction, however many others of the batch must. */
  async #passing(jobs: readonly NewJob[], behind?: Behind): Promise<readonly Appended[]> {
    const appended: Appended[] = []
    const batches = splitIntoBatches(jobs, weigh)
    for (const batch of batches) {
      appended.push(
        ...(await halving<NewJob, Appended>(batch, {
          run: (part, half) => this.#passLocked(part, half || batches.length > 1 ? undefined : behind),
          isCulprit: isRefusedData,
          alone: ({ id }, error) => ({ id, status: 'refused', why: (error as Error).message }),
        })),
      )
    }
    return appended
  }

  async #passLocked(jobs: readonly NewJob[], behind?: Behind): Promise<readonly Appended[]> {
    const ask: Ask = ({ name, text, values }) => this.#database.query(name, text, values, { behind })
    const answers = new Map<NewJob, Appended>()
    let free = jobs
    for (let looks = 0; free.length > 0 && looks < mostLooks; looks += 1) {
      try {
        const stored = free
        const all = await this.#unlessStored((alike) => this.#batch(stored, `${passWaitMs}ms`, ask, alike))
        for (const [index, job] of stored.entries()) answers.set(job, all[index]!)
        break
      } catch (error) {
        if (!isLockTimeout(error)) throw error
        const locked = await this.#locked(free)
        free = free.filter((job) => !locked.has(job))
      }
    }
    return jobs.map((job) => answers.get(job) ?? { id: job.id, status: 'locked' })
  }

  async #locked(jobs: readonly NewJob[]): Promise<ReadonlySet<NewJob>> {
    const [row] = await this.#database.query('errand_locked_keys', this.#lockedKeys, [
      arrayLiteral(jobs.map(({ queue }) => queue)),
      arrayLiteral(jobs.map(({ ordering }) => ordering?.key)),
      arrayLiteral(jobs.map(({ name }) => name)),
      arrayLiteral(jobs.map(({ unique }) => unique?.key)),
    ])
    const places = (row?.[0] ?? '').split(',').filter((place) => place !== '')
    return new Set(places.map((place) => jobs[Number(place) - 1]!))
  }

  async #atomic(jobs: readonly NewJob[], behind?: Behind): Promise<readonly Appended[]> {
    const wait = `${keyWaitMs}ms`
    const batches = splitIntoBatches(jobs, weigh)
    const all = async (ask: Ask, alike: boolean): Promise<readonly Appended[]> => {
      const appended: Appended[] = []
      for (const batch of batches) appended.push(...(await this.#batch(batch, wait, ask, alike)))
      return appended
    }
    try {
      return await this.#unlessStored((alike) =>
        batches.length === 1
          ? // One statement is a transaction of its own: one round trip instead of three.
            all(
              ({ name, text, values }) =>
                this.#database.query(name, text, values, { repeatable: false, behind }),
              alike,
            )
          : this.#database.transaction((run) => all(({ text, values }) => run(text, values), alike)),
      )
    } catch (error) {
      if (!isRefusedData(error)) throw error
      throw refusedBatch(jobs, await this.#culprits(jobs), error)
    }
  }

  /** `append_alike` refuses a batch with a stored id. `append` tells which one it is. */
  async #unlessStored(store: (alike: boolean) => Promise<readonly Appended[]>): Promise<readonly Appended[]> {
    try {
      return await store(true)
    } catch (error) {
      if (!isDuplicateId(error)) throw error
      return store(false)
    }
  }

  async #batch(
    jobs: readonly NewJob[],
    wait: string | null,
    ask: Ask,
    alike: boolean,
  ): Promise<readonly Appended[]> {
    const values = alike ? alikeParameters(jobs) : undefined
    if (values) {
      await ask({ name: 'errand_append_alike', text: this.#appendAlike, values })
      return jobs.map((job) => ({ id: job.id, status: 'added', state: 'ready', ticket: this.#ticket(job) }))
    }
    const [row] = await ask({
      name: 'errand_append',
      text: this.#append,
      values: appendParameters(jobs, wait),
    })
    return this.#read(jobs, row?.[0] ?? '')
  }

  /** Finds the jobs of a refused batch that the database does not take. Tries halves and keeps nothing. */
  async #culprits(jobs: readonly NewJob[], whole?: Whole): Promise<Map<string, Appended>> {
    const found = new Map<string, Appended>()
    const tried = new Error('tried')
    await halving<NewJob, undefined>(jobs, {
      run: async (part) => {
        await this.#database
          .transaction(async (run) => {
            for (const batch of splitIntoBatches(part, weigh))
              await run(this.#append, appendParameters(batch, `${halfKeyWaitMs}ms`, { whole }))
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

  /** Stores all or nothing, and tells what is in the way. One statement, if one is enough for the jobs. */
  async #whole(
    jobs: readonly NewJob[],
    whole: Whole,
    { tx, passLocked }: AppendOptions,
    behind?: Behind,
  ): Promise<readonly Appended[]> {
    const impossible = findImpossible(jobs)
    if (impossible) return impossible
    for (const flow of whole.flows) {
      const why = unstorableFlow(flow)
      if (why !== undefined) throw refusedBatch(jobs, new Map(), new Error(`flow ${flow.id}: ${why}`))
    }
    const inside = tx !== undefined
    const wait = inside ? null : `${passLocked === true ? passWaitMs : keyWaitMs}ms`
    const batches = splitIntoBatches(jobs, weigh)
    const own = batches.length > 1 ? [] : jobs
    const first = {
      text: own.length === 0 ? this.#appendFlows : this.#appendWhole,
      values: [
        ...appendFlowsParameters(jobs, whole, wait),
        ...(own.length === 0 ? [] : appendParameters(own, wait, { inside, whole })),
      ],
    }
    const store = async (
      ask: (text: string, values: readonly (string | null)[]) => Promise<string>,
    ): Promise<readonly Appended[]> => {
      const answer = await ask(first.text, first.values)
      if (batches.length <= 1 || answer !== '') return this.#readWhole(jobs, answer)
      const appended: Appended[] = []
      for (const batch of batches) {
        const values = appendParameters(batch, wait, { inside, whole })
        appended.push(...this.#read(batch, await ask(this.#append, values)))
      }
      return appended
    }
    try {
      if (tx) return await store(recognizeTransaction(tx))
      if (batches.length > 1)
        return await this.#database.transaction((run) =>
          store(async (text, values) => (await run(text, values))[0]?.[0] ?? ''),
        )
      return await store(async (text, values) => {
        const name = own.length === 0 ? 'errand_append_flows' : 'errand_append_whole'
        const [row] = await this.#database.query(name, text, values, { repeatable: false, behind })
        return row?.[0] ?? ''
      })
    } catch (error) {
      if (tx) throw insideError(error, this.#database.place)
      if (passLocked === true && isLockTimeout(error)) return jobs.map(({ id }) => ({ id, status: 'locked' }))
      if (!isRefusedData(error)) throw error
      throw refusedBatch(jobs, await this.#culprits(jobs, whole), error)
    }
  }

  #readWhole(jobs: readonly NewJob[], answer: string): readonly Appended[] {
    if (answer === 's') return jobs.map(({ id }) => ({ id, status: 'duplicate' }))
    if (jobs.length === 0) return []
    const words = answer.split(',')
    if (!words.some((word) => 'ufw'.includes(word.slice(0, 1)))) return this.#read(jobs, answer)
    return jobs.map(({ id }, index): Appended => {
      const word = words[index] ?? ''
      const rest = word.slice(1)
      if (word.startsWith('u')) return { id, status: 'unknown-need', need: rest }
      if (word.startsWith('f')) return { id, status: 'flow-ended', flow: rest }
      return word.startsWith('d') ? { id: rest, status: 'duplicate' } : { id, status: 'withheld' }
    })
  }

  async #inside(jobs: readonly NewJob[], tx: NonNullable<AppendOptions['tx']>): Promise<readonly Appended[]> {
    const inside = recognizeTransaction(tx)
    const appended: Appended[] = []
    try {
      // Here the caller's own setting says how long to wait for a key.
      for (const batch of splitIntoBatches(jobs, weigh))
        appended.push(
          ...this.#read(batch, await inside(this.#append, appendParameters(batch, null, { inside: true }))),
        )
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
      const state = toState(word)
      return { id: job.id, status: 'added', state, ticket: state === 'ready' ? this.#ticket(job) : undefined }
    })
  }

  #ticket({ id, queue, lane }: NewJob): Ticket {
    return { id, queue, lane, log: this.#logId() }
  }
}

/** So many needs as a row may have must not come to a statement from hundreds of jobs. */
const weightOfNeed = 200

function weigh(job: NewJob): number {
  return job.payload.text.length + 300 + (job.needs?.length ?? 0) * weightOfNeed
}

/**
 * Texts that PostgreSQL would refuse, or that the protocol would silently change. They are found here, so that no other
 * job must be sent again.
 */
function unstorable(job: NewJob): string | undefined {
  if (!isUuid(job.id)) return `its id ${JSON.stringify(job.id)} is not a UUID`
  if (!isStorable(job.payload.text))
    return 'its payload holds a NUL or half of a surrogate pair, which no text can store'
  const { name, queue, ordering, unique, shareKey, tags } = job
  if (isStorable(name) && isStorable(queue) && tags.every(isStorable))
    if ([ordering?.key, unique?.key, shareKey].every((key) => isStorable(key ?? ''))) return undefined
  return 'its name, a key or a tag holds a NUL or half of a surrogate pair'
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
