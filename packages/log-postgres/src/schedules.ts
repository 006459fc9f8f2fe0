import type {
  Appended,
  NewJob,
  ScheduleChange,
  ScheduleRecord,
  ScheduleSaved,
  Transaction,
} from '@errand/core/ports'
import type { Appender } from './append.ts'
import { halving, splitIntoBatches } from './batches.ts'
import type { Database } from './database.ts'
import { insideError, isLockTimeout, isRefusedData } from './failures.ts'
import { arrayLiteral } from './literals.ts'
import { recognizeTransaction } from './transaction.ts'

/** How long a schedule that is new waits for another transaction that has made one of its name. */
const nameWait = '250ms'

/** Runs a statement that answers one text. */
type Ask = (text: string, values: readonly (string | null)[]) => Promise<string>

/** A row as `errand_schedules` answers it. */
type Read = [
  name: string,
  revision: number,
  dueAt: number | null,
  job: string,
  isDeclared: boolean,
  declaredBy: string | null,
  declarerLives: boolean,
  body: string,
]

/** `readSchedules` and `saveSchedules` of the port. */
export class Schedules {
  readonly #database: Database
  readonly #appender: Appender

  constructor(database: Database, appender: Appender) {
    this.#database = database
    this.#appender = appender
  }

  async read(
    names: readonly string[] | undefined,
    tx: Transaction | undefined,
  ): Promise<{ now: number; schedules: readonly ScheduleRecord[] }> {
    const s = this.#database.schema
    const ask = tx ? this.#inside(tx) : this.#own(names ? 'errand_schedules' : 'errand_all_schedules', true)
    const answer = await ask(
      `select json_build_array(${s}.ms(${s}.clock()), coalesce((
         select json_agg(json_build_array(
                  c.name, c.revision, ${s}.ms(c.due_at), c.job, c.declared, c.declared_by,
                  exists (select from ${s}.workers w where w.id = c.declared_by and w.lease_until >= ${s}.clock()), c.body
                ) order by c.name collate "C")
           from ${s}.schedules c ${names ? 'where c.name = any ($1::text[])' : ''}), '[]'))::text as answer`,
      names ? [arrayLiteral(names) ?? '{}'] : [],
    )
    const [now, rows] = JSON.parse(answer) as [number, Read[]]
    return { now, schedules: rows.map(toSchedule) }
  }

  async save(
    changes: readonly ScheduleChange[],
    tx: Transaction | undefined,
  ): Promise<readonly ScheduleSaved[]> {
    const saved: ScheduleSaved[] = []
    for (const batch of splitIntoBatches(changes, weigh)) {
      if (tx) {
        const append = (jobs: readonly NewJob[]) => this.#appender.append(jobs, { tx })
        saved.push(...(await this.#write(batch, null, this.#inside(tx), append)))
        continue
      }
      saved.push(
        ...(await halving<ScheduleChange, ScheduleSaved>(batch, {
          run: (part) => this.#save(part),
          isCulprit: (error) => isRefusedData(error) || isLockTimeout(error),
          alone: async (change, error) => {
            // Somebody's transaction holds its name, or a key of its job: the next one who looks may have more luck.
            if (isLockTimeout(error)) return { saved: false }
            if (!change.job) throw error
            const [answer] = await this.#save([{ ...change, job: undefined }])
            if (answer?.saved !== true) return { saved: false }
            return {
              saved: true,
              appended: { id: change.job.id, status: 'refused', why: (error as Error).message },
            }
          },
        })),
      )
    }
    return saved
  }

  async #save(changes: readonly ScheduleChange[]): Promise<readonly ScheduleSaved[]> {
    if (changes.every(({ job }) => job === undefined))
      return this.#write(changes, nameWait, this.#own('errand_save_schedules', false))
    return this.#database.transaction((run) => {
      const ask: Ask = async (text, values) => (await run(text, values))[0]?.[0] ?? ''
      return this.#write(changes, nameWait, ask, (jobs) => this.#appender.within(run, jobs))
    })
  }

  async #write(
    changes: readonly ScheduleChange[],
    lockTimeout: string | null,
    ask: Ask,
    append: (jobs: readonly NewJob[]) => Promise<readonly Appended[]> = async () => [],
  ): Promise<readonly ScheduleSaved[]> {
    const rule = this.#database.rule('save_schedules')
    const text = `select to_json(array(select ${rule}($1, $2, $3, $4, $5, $6, $7, $8)))::text as answer`
    const answer = await ask(text, [...toParameters(changes), lockTimeout])
    const names = new Set(JSON.parse(answer) as string[])
    const jobs = changes.flatMap(({ name, job }) => (job && names.has(name) ? [job] : []))
    const appended = jobs.length === 0 ? [] : await append(jobs)
    const answers = new Map(jobs.map((job, index) => [job, appended[index]]))
    return changes.map(({ name, job }) => ({ saved: names.has(name), appended: job && answers.get(job) }))
  }

  /** @param repeatable whether it may run twice with the same answer */
  #own(plan: string, repeatable: boolean): Ask {
    return async (text, values) =>
      (await this.#database.query(plan, text, values, { repeatable }))[0]?.[0] ?? ''
  }

  #inside(tx: Transaction): Ask {
    const inside = recognizeTransaction(tx)
    return async (text, values) => {
      try {
        return await inside(text, values)
      } catch (error) {
        throw insideError(error, this.#database.place)
      }
    }
  }
}

function toParameters(changes: readonly ScheduleChange[]): (string | null)[] {
  return [
    arrayLiteral(changes.map(({ name }) => name)),
    arrayLiteral(changes.map(({ after }) => after)),
    arrayLiteral(changes.map(({ to }) => to?.dueAt)),
    arrayLiteral(changes.map(({ to }) => to?.job)),
    arrayLiteral(changes.map(({ to }) => to?.isDeclared)),
    arrayLiteral(changes.map(({ to }) => to?.declaredBy)),
    arrayLiteral(changes.map(({ to }) => to?.body)),
  ]
}

function toSchedule([
  name,
  revision,
  dueAt,
  job,
  isDeclared,
  declaredBy,
  declarerLives,
  body,
]: Read): ScheduleRecord {
  return {
    name,
    revision,
    dueAt: dueAt ?? undefined,
    job,
    isDeclared,
    declaredBy: declaredBy ?? undefined,
    declarerLives,
    body,
  }
}

function weigh({ to, job }: ScheduleChange): number {
  return (to?.body.length ?? 0) + (job?.payload.text.length ?? 0) + 300
}
