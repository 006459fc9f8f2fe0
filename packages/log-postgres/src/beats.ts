import { freeText } from '@errand/core/ports'
import type { BeatReply, BeatReport, ServedQueue, WorkerRef } from '@errand/core/ports'
import type { Database } from './database.ts'
import { arrayLiteral, jsonMembers } from './literals.ts'
import { maybe, number, toTransfer } from './rows.ts'

/** The heartbeat of a process: `beat` and `leave` of the port. */
export class Beats {
  readonly #database: Database
  readonly #text: string
  readonly #served: string

  constructor(database: Database) {
    this.#database = database
    this.#text = `select * from ${database.rule('beat')}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
    this.#served = `select * from ${database.rule('served')}()`
  }

  async beat(by: WorkerRef, report: BeatReport): Promise<BeatReply> {
    const { progress, givenUp = [] } = report
    const rows = await this.#database.query('errand_beat', this.#text, [
      by.id,
      by.host,
      by.pid,
      by.label ?? null,
      by.leaseMs,
      arrayLiteral(report.queues) ?? '{}',
      report.taking,
      report.why === undefined ? null : freeText(report.why),
      arrayLiteral(progress.map(({ id }) => id)),
      arrayLiteral(progress.map(({ run }) => run)),
      arrayLiteral(progress.map(({ value }) => value)),
      arrayLiteral(progress.map(({ message }) => (message === undefined ? null : freeText(message)))),
      arrayLiteral(progress.map(({ value, message }) => jsonMembers({ progress: value, message }))),
      arrayLiteral(report.drivers ?? []) ?? '{}',
      arrayLiteral(givenUp.map(({ id }) => id)),
      arrayLiteral(givenUp.map(({ run }) => run)),
      arrayLiteral(report.slots ? report.queues.map((queue) => report.slots?.[queue] ?? null) : []) ?? '{}',
    ])
    const of = (kind: string): typeof rows => rows.filter((row) => row[0] === kind)
    return {
      claims: of('claim').map(([, id, run, cancel]) => ({
        id: id!,
        run: number(run),
        ...(cancel ? { cancel: JSON.parse(`{${cancel}}`) as { by: string; reason?: string } } : {}),
      })),
      paused: of('paused').map(([, name]) => maybe(name) ?? ''),
      stop: of('stop').length > 0,
      transfer: of('transfer').map(([, , revision, json]) => toTransfer(revision, json))[0],
    }
  }

  async served(): Promise<readonly ServedQueue[]> {
    const rows = await this.#database.query('errand_served', this.#served)
    return rows.map(([queue, workers, slots]) => ({
      queue: queue!,
      workers: number(workers),
      slots: slots === null || slots === undefined ? undefined : number(slots),
    }))
  }

  async leave(by: WorkerRef): Promise<void> {
    await this.#database.query('errand_leave', `delete from ${this.#database.schema}.workers where id = $1`, [
      by.id,
    ])
  }
}
