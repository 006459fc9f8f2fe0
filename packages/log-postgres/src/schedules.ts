import type { ScheduleChange, ScheduleRecord, ScheduleSaved } from '@errand/core/ports'
import type { Appender } from './append.ts'
import { halving, splitIntoBatches } from './batches.ts'
import type { Database, Row, Value } from './database.ts'
import { isLockTimeout, isRefusedData } from './failures.ts'
import { arrayLiteral } from './literals.ts'
import { maybe, maybeNumber, number } from './rows.ts'

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
  ): Promise<{ now: number; schedules: readonly ScheduleRecord[] }> {
    const s = this.#database.schema
    const [[now] = [], ...rows] = await this.#database.query(
      'errand_schedules',
      `select ${s}.ms(${s}.clock())::text, null, null, null, null, null, null, null
       union all
       (select c.name, c.revision, ${s}.ms(c.due_at), c.job, c.declared, c.declared_by,
               exists (select from ${s}.workers w where w.id = c.declared_by and w.lease_until >= ${s}.clock()), c.body
          from ${s}.schedules c where $1::text[] is null or c.name = any ($1::text[]) order by c.name collate "C")`,
      [names === undefined ? null : (arrayLiteral(names) ?? '{}')],
    )
    return { now: number(now), schedules: rows.map(toSchedule) }
  }

  async save(changes: readonly ScheduleChange[]): Promise<readonly ScheduleSaved[]> {
    const saved: ScheduleSaved[] = []
    for (const batch of splitIntoBatches(changes, weigh)) {
      saved.push(
        ...(await halving<ScheduleChange, ScheduleSaved>(batch, {
          run: (part) => this.#save(part),
          isCulprit: (error) => isRefusedData(error) || isLockTimeout(error),
          alone: async (change, error) => {
            // Somebody's transaction holds a key of its job: the next one who looks may have more luck.
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
    const text = `select ${this.#database.rule('save_schedules')}($1, $2, $3, $4, $5, $6, $7)`
    const values = toParameters(changes)
    if (changes.every(({ job }) => job === undefined)) {
      const names = toNames(
        await this.#database.query('errand_save_schedules', text, values, { repeatable: false }),
      )
      return changes.map(({ name }) => ({ saved: names.has(name) }))
    }
    return this.#database.transaction(async (run) => {
      const names = toNames(await run(text, values))
      const jobs = changes.flatMap(({ name, job }) => (job && names.has(name) ? [job] : []))
      const appended = await this.#appender.within(run, jobs)
      const answers = new Map(jobs.map((job, index) => [job, appended[index]]))
      return changes.map(({ name, job }) => ({ saved: names.has(name), appended: job && answers.get(job) }))
    })
  }
}

function toParameters(changes: readonly ScheduleChange[]): Value[] {
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

function toNames(rows: readonly Row[]): ReadonlySet<string> {
  return new Set(rows.flatMap(([name]) => name ?? []))
}

function toSchedule(row: Row): ScheduleRecord {
  return {
    name: row[0]!,
    revision: number(row[1]),
    dueAt: maybeNumber(row[2]),
    job: row[3]!,
    isDeclared: row[4] === 't',
    declaredBy: maybe(row[5]),
    declarerLives: row[6] === 't',
    body: row[7]!,
  }
}

function weigh({ to, job }: ScheduleChange): number {
  return (to?.body.length ?? 0) + (job?.payload.text.length ?? 0) + 300
}
