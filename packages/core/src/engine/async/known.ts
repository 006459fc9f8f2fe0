import type { QueueKey } from '../../job/claim.ts'
import type { LimitPlace } from '../../ports/limits.ts'
import type { JobRow, MemberRow, NeedRow } from '../store.ts'
import { listings } from './questions.ts'
import type { Answer, Answers, KeyFound, Question, QuestionKind, QuestionOf } from './questions.ts'

/** Their answers are places of limits. */
const placing: readonly QuestionKind[] = ['limits', 'waitingKeys', 'limitKeys', 'dueLimits', 'limitNotes']

interface KnownRow {
  readonly row: JobRow
  /** The kind of question that found it first. */
  readonly foundBy: QuestionKind
  /** False: it was read and not locked, so it must not be changed. */
  readonly mayChange: boolean
}

/** What was read of the database for one call. */
export class Known {
  readonly rows: Map<string, KnownRow> = new Map()
  readonly keys: Map<string, KeyFound & { readonly limit: number }> = new Map()
  /** By the question without its limit. */
  readonly lists: Map<string, { readonly limit: number; readonly ids: readonly string[] }> = new Map()
  /** Jobs and flows that the rules may go through one after another. */
  readonly related: Set<string> = new Set()
  /** Places of limits that the rules may go through one after another. */
  readonly places: Map<string, LimitPlace> = new Map()
  /** Jobs whose open waits were read. */
  readonly waiting: Set<string> = new Set()
  readonly #answers = new Map<string, Answer>()

  has(question: readonly unknown[]): boolean {
    return this.#answers.has(formatQuestion(question))
  }

  get<K extends QuestionKind>(question: QuestionOf<K>): Answers[K] {
    return this.#answers.get(formatQuestion(question)) as Answers[K]
  }

  add(question: Question, answer: Answer): void {
    this.#answers.set(formatQuestion(question), answer)
    const [kind, ...args] = question
    const limit = args.at(-1) as number
    if (kind === 'openWaits') this.waiting.add(question[1])
    if (placing.includes(kind))
      for (const { name, key = '' } of answer as readonly Partial<LimitPlace>[])
        if (name !== undefined) this.places.set(formatQuestion([name, key]), { name, key })
    if (kind === 'openNeeds') for (const { child } of answer as NeedRow[]) this.related.add(child)
    if (kind === 'members') for (const { id } of answer as MemberRow[]) this.related.add(id)
    if (kind === 'childrenOf') for (const id of answer as string[]) this.related.add(id)
    const mayChange = kind !== 'list' && kind !== 'claimsOf'
    const addRows = (rows: readonly JobRow[]): void =>
      rows.forEach((row) => this.#addRow({ row, foundBy: kind, mayChange }))
    if (kind === 'row' || kind === 'freeRow' || kind === 'mend') {
      if (typeof answer === 'object') addRows([answer as JobRow])
    } else if (kind === 'key' || kind === 'keyOf') {
      const found = answer as KeyFound | undefined
      if (!found || (this.keys.get(formatKey(found))?.limit ?? -1) >= limit) return
      this.keys.set(formatKey(found), { ...found, limit })
      addRows(found.jobs)
    } else if (!mayChange) addRows(answer as JobRow[])
    else if ((listings as readonly string[]).includes(kind)) {
      const rows = answer as JobRow[]
      this.lists.set(formatQuestion(question.slice(0, -1)), { limit, ids: rows.map(({ id }) => id) })
      addRows(rows)
    }
  }

  /** A row that was only read is no newer than one that was locked, and does not replace it. */
  #addRow(found: KnownRow): void {
    const known = this.rows.get(found.row.id)
    if (known?.mayChange && !found.mayChange) return
    this.rows.set(found.row.id, { ...found, foundBy: known?.foundBy ?? found.foundBy })
  }
}

/** The same for the same question. */
export function formatQuestion(question: readonly unknown[]): string {
  return JSON.stringify(question)
}

export function formatKey({ queue, key }: QueueKey): string {
  return formatQuestion([queue, key])
}
