import { ErrandError } from '@errand/core/ports'
import type {
  Encoded,
  Fence,
  Memory,
  NewMessage,
  NewStep,
  Remembered,
  Sent,
  StoredStep,
  Ticket,
  Transaction,
  UnreadMessage,
  WorkerRef,
} from '@errand/core/ports'
import { halving, splitIntoBatches } from './batches.ts'
import { overCode, stateCode, stepCode } from './codes.ts'
import type { Column, Database, Row } from './database.ts'
import { insideError, isLockTimeout, isRefusedData } from './failures.ts'
import { arrayLiteral, isStorable, isUuid } from './literals.ts'
import { lane, maybe, maybeNumber, number } from './rows.ts'
import { recognizeTransaction } from './transaction.ts'

/** What jobs remember, and messages to them. */
export class JobMemory implements Memory {
  readonly #database: Database
  readonly #logId: () => string

  constructor(database: Database, logId: () => string) {
    this.#database = database
    this.#logId = logId
  }

  async remember(steps: readonly NewStep[], by: WorkerRef): Promise<readonly Remembered[]> {
    const usable = steps.filter(isUsable)
    const answers: Remembered[] = []
    for (const batch of splitIntoBatches(usable, ({ result }) => (result?.text.length ?? 0) + 200)) {
      const words = await halving(batch, {
        run: (some) => this.#remember(some, by),
        isCulprit: (error) => isLockTimeout(error) || isRefusedData(error),
        alone: (_step, error): Remembered => {
          if (isLockTimeout(error)) return 'again'
          throw error
        },
      })
      answers.push(...words)
    }
    const next = answers.values()
    return steps.map((step) => {
      if (!isUuid(step.id)) return 'claim-lost'
      return isUsable(step) ? next.next().value! : 'refused'
    })
  }

  async #remember(steps: readonly NewStep[], by: WorkerRef): Promise<readonly Remembered[]> {
    const [row] = await this.#database.query(
      'errand_remember',
      `select ${this.#database.rule('remember')}($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        arrayLiteral(steps.map(({ id }) => id)),
        arrayLiteral(steps.map(({ run }) => run)),
        arrayLiteral(steps.map(({ name }) => name)),
        arrayLiteral(steps.map(({ memoryVersion }) => memoryVersion)),
        arrayLiteral(steps.map(({ durationMs }) => Math.round(durationMs))),
        arrayLiteral(steps.map(({ result }) => result?.codec)),
        arrayLiteral(steps.map(({ result }) => result?.text)),
        by.id,
      ],
    )
    return (row?.[0] ?? '').split(',') as Remembered[]
  }

  async recall(
    { id, run }: Fence,
    name: string,
    by: WorkerRef,
    tx: Transaction,
  ): Promise<StoredStep | undefined> {
    const found = await this.#inside(tx, 'recall', [mustBeUuid(id), String(run), name, by.id])
    return found === '' ? undefined : toStep(JSON.parse(found) as Row)
  }

  async rememberInside(step: NewStep, by: WorkerRef, tx: Transaction): Promise<void> {
    const { id, run, name, memoryVersion, durationMs, result } = step
    if (result && !isStorable(result.text))
      throw new ErrandError(
        'E_STEP_RESULT',
        `the result of step ${name} holds a NUL or half of a surrogate pair`,
      )
    await this.#inside(tx, 'remember_inside', [
      mustBeUuid(id),
      String(run),
      name,
      String(memoryVersion),
      String(Math.round(durationMs)),
      result?.codec ?? null,
      result?.text ?? null,
      by.id,
    ])
  }

  async memory(job: string): Promise<{
    readonly steps: readonly StoredStep[]
    readonly messages: readonly UnreadMessage[]
  }> {
    if (!isUuid(job)) return { steps: [], messages: [] }
    const s = this.#database.schema
    const rows = await this.#database.query(
      'errand_memory',
      `(select ${stepColumns(s)} from ${s}.steps s where s.job_id = any (array[$1::uuid]) order by s.done_at is null, s.ord)
       union all
       (select m.id::text, null, null, null, null, ${s}.ms(m.at), null, null, m.name, null, m.codec, m.body, m.sent_by
          from ${s}.messages m where m.job_id = any (array[$1::uuid]) and not m.taken order by m.seq)`,
      [job],
    )
    return {
      steps: rows.filter(isStep).map(toStep),
      messages: rows.filter((row) => !isStep(row)).map(toMessage),
    }
  }

  async send(
    messages: readonly NewMessage[],
    { tx }: { readonly tx?: Transaction | undefined } = {},
  ): Promise<{ readonly sent: readonly Sent[]; readonly tickets: readonly Ticket[] }> {
    const sent: Sent[] = []
    const tickets: Ticket[] = []
    const read = (answer: string): readonly Sent[] => {
      const [words = '', ...lines] = answer.split('\n')
      for (const line of lines) {
        const [id, rank = null, queue] = line.split('\t')
        tickets.push({ id: id!, lane: lane(rank), queue: queue!, log: this.#logId() })
      }
      return words.split(',') as Sent[]
    }
    const isWhole = ({ job, payload }: NewMessage): boolean => isUuid(job) && isStorable(payload.text)
    const whole = messages.filter(isWhole)
    for (const batch of splitIntoBatches(whole, ({ payload }) => payload.text.length + 200)) {
      if (tx) {
        sent.push(...read(await this.#inside(tx, 'send', toSendValues(batch, true))))
        continue
      }
      const words = await halving<NewMessage, Sent>(batch, {
        run: async (some) => read(await this.#send(some, false)),
        isCulprit: isRefusedData,
        // The row of the job may be spoilt. A note lets a sweep find that out.
        alone: async (one) => read(await this.#send([one], true))[0]!,
      })
      sent.push(...words)
    }
    const next = sent.values()
    const answer = (message: NewMessage): Sent => {
      if (!isUuid(message.job)) return 'unknown'
      return isWhole(message) ? next.next().value! : 'refused'
    }
    return { sent: messages.map(answer), tickets }
  }

  async #send(messages: readonly NewMessage[], onlyNotes: boolean): Promise<string> {
    const [row] = await this.#database.query(
      'errand_send',
      `select ${this.#database.rule('send')}($1, $2, $3, $4, $5, $6, $7)`,
      toSendValues(messages, onlyNotes),
    )
    return row?.[0] ?? ''
  }

  async #inside(tx: Transaction, rule: string, values: readonly (string | null)[]): Promise<string> {
    const inside = recognizeTransaction(tx)
    const marks = values.map((_, index) => `$${index + 1}`).join(', ')
    try {
      return await inside(`select ${this.#database.rule(rule)}(${marks}) as answer`, values)
    } catch (error) {
      throw insideError(error, this.#database.place)
    }
  }
}

function toSendValues(messages: readonly NewMessage[], onlyNotes: boolean): readonly (string | null)[] {
  return [
    arrayLiteral(messages.map(({ id }) => id)),
    arrayLiteral(messages.map(({ job }) => job)),
    arrayLiteral(messages.map(({ name }) => name)),
    arrayLiteral(messages.map(({ payload }) => payload.codec)),
    arrayLiteral(messages.map(({ payload }) => payload.text)),
    arrayLiteral(messages.map(({ by }) => by)),
    String(onlyNotes),
  ]
}

/** Whether the log can store it. */
function isUsable({ id, result }: NewStep): boolean {
  return isUuid(id) && (result === undefined || isStorable(result.text))
}

function mustBeUuid(id: string): string {
  if (isUuid(id)) return id
  throw new ErrandError('E_CLAIM_LOST', `job ${id} is not in this log; roll the transaction back`)
}

/** In the order in which the rule `recall` answers them. */
function stepColumns(schema: string): string {
  return `s.name, s.kind, case when s.done_at is not null then row_number() over (order by s.done_at is null, s.ord) end, s.run,
          s.memory_version, ${schema}.ms(s.done_at), s.duration_ms, ${schema}.ms(s.until), s.called, s.ended_by, s.codec, s.body,
          s.message_id::text`
}

/** The other rows are messages. */
const isStep = (row: Row): boolean => row[1] !== null

const kinds = inverse(stepCode)
const endings = inverse({
  ...overCode,
  succeeded: stateCode.succeeded,
  failed: stateCode.failed,
  cancelled: stateCode.cancelled,
})

function inverse<Name extends string>(codes: Readonly<Record<Name, number>>): ReadonlyMap<number, Name> {
  return new Map((Object.keys(codes) as Name[]).map((name) => [codes[name], name]))
}

function toStep(row: Row): StoredStep {
  const [name, kind, order, run, version, at, duration, until, on, by, codec, body, messageId] = row
  return {
    name: name!,
    kind: kinds.get(number(kind)) ?? 'step',
    order: maybeNumber(order),
    run: number(run),
    memoryVersion: number(version),
    at: maybeNumber(at),
    durationMs: maybeNumber(duration),
    until: maybeNumber(until),
    on: maybe(on),
    by: by == null ? undefined : endings.get(number(by)),
    body: toBody(codec, body),
    messageId: maybe(messageId),
  }
}

function toMessage(row: Row): UnreadMessage {
  return {
    id: row[0]!,
    name: row[8]!,
    by: row[12]!,
    at: number(row[5]),
    payload: { codec: row[10]!, text: row[11]! },
  }
}

function toBody(codec: Column | undefined, body: Column | undefined): Encoded | undefined {
  return typeof codec === 'string' && typeof body === 'string' ? { codec, text: body } : undefined
}
