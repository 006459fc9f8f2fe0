import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { expect, onTestFinished } from 'vitest'
import type {
  Claim,
  Fence,
  NewMessage,
  NewStep,
  NewWait,
  Refused,
  Settled,
  SettledOutcome,
  StoredEventType,
  Ticket,
  WorkerRef,
} from '@errand/core/ports'
import { encoded, newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { encodeOutcome, toSettleValues } from '../src/encoded-outcome.ts'
import type { Opened } from './stage.ts'

const queue = 'memory'
export const hourMs = 3_600_000

export const newStep = ({ id, run }: Fence, name = 'charge'): NewStep => ({
  id,
  run,
  name,
  memoryVersion: 0,
  durationMs: 1,
  result: encoded(name),
})

export const newMessage = (job: string): NewMessage => ({
  id: randomUUID(),
  job,
  name: 'approved',
  payload: encoded(1),
  by: 'ada',
})

export const waits = {
  approval: (timeoutMs?: number): NewWait => ({
    kind: 'message',
    name: 'approval',
    message: 'approved',
    timeoutMs,
  }),
  rest: { kind: 'sleep', name: 'rest', until: { delayMs: hourMs } } satisfies NewWait,
  call: (name: string, on: string): NewWait => ({ kind: 'call', name, on }),
} as const

/** A transaction of the application. */
export interface Begun {
  readonly tx: Client
  /** Until it waits for a lock. */
  readonly waits: () => Promise<unknown>
}

/** Stories about jobs that remember and wait, on one log. */
export class MemoryScene {
  readonly stage: Opened['stage']
  readonly log: Opened['log']

  constructor({ stage, log }: Opened) {
    this.stage = stage
    this.log = log
  }

  async worker(): Promise<WorkerRef> {
    const by = workerRef({ leaseMs: 600_000 })
    await this.log.beat(by, { queues: [queue], taking: true, progress: [] })
    return by
  }

  async add(count: number): Promise<void> {
    await this.log.append(Array.from({ length: count }, () => newJob({ queue })))
  }

  async take(by: WorkerRef, count: number): Promise<readonly Claim[]> {
    const claims = await this.log.take([queue], count, by, randomUUID())
    expect(claims).toHaveLength(count)
    return claims
  }

  async takeOne(by: WorkerRef): Promise<Claim> {
    return (await this.take(by, 1))[0]!
  }

  async start(by: WorkerRef): Promise<Claim> {
    await this.add(1)
    return this.takeOne(by)
  }

  async settle(
    by: WorkerRef,
    claims: readonly Fence[],
    outcome: SettledOutcome = outcomes.succeed(),
  ): Promise<readonly (Settled | Refused)[]> {
    const settled = await this.log.settle(
      claims.map((claim) => settlement(claim, outcome)),
      by,
    )
    expect(settled.map(({ result }) => result)).toEqual(claims.map(() => 'settled'))
    return settled
  }

  async suspend(by: WorkerRef, claim: Fence, ...awaited: readonly NewWait[]): Promise<Settled | Refused> {
    return (await this.settle(by, [claim], { kind: 'suspend', waits: awaited, memoryVersion: 0 }))[0]!
  }

  /** The same as a statement of this client's transaction. */
  async suspendInside(
    client: Client,
    by: WorkerRef,
    claim: Fence,
    ...awaited: readonly NewWait[]
  ): Promise<void> {
    const one = encodeOutcome(settlement(claim, { kind: 'suspend', waits: awaited, memoryVersion: 0 }))
    const values = toSettleValues([one], by, null)
    const marks = values.map((_, index) => `$${index + 1}`).join(', ')
    await client.query(`select ${this.stage.schema}.settle_v1(${marks})`, [...values])
  }

  async begin(): Promise<Begun> {
    const tx = await this.stage.client()
    // One that is left open by a story that fails must not hold up the next.
    onTestFinished(() => tx.end())
    await tx.query('begin')
    const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
    const looks = async (): Promise<boolean> =>
      (await this.stage.sql('select from pg_locks where pid = $1 and not granted', [rows[0]!.pid])).length > 0
    return { tx, waits: () => until(looks, { what: 'the transaction waits', withinMs: 3_000 }) }
  }

  /** Until a call of this rule waits for a lock. */
  isWaiting(rule: string): Promise<unknown> {
    const text = `select from pg_stat_activity
      where wait_event_type = 'Lock' and pid <> pg_backend_pid() and query like '%${this.stage.schema}%.${rule}_v1(%'`
    const looks = async (): Promise<boolean> => (await this.stage.sql(text)).length > 0
    return until(looks, { what: `${rule} waits`, withinMs: 3_000 })
  }

  /** A transaction that has locked the row of this job. */
  async hold({ id }: Fence): Promise<Client> {
    const { tx } = await this.begin()
    await tx.query(`select from ${this.stage.schema}.live where id = $1 for update`, [id])
    return tx
  }

  async loseLease(by: WorkerRef): Promise<void> {
    await this.stage.sql(`update errand.workers set lease_until = '2020-01-01' where id = $1`, [by.id])
  }

  /** Ids of the runs that it calls lost. */
  async sweepLost(on: Client): Promise<readonly string[]> {
    const { schema } = this.stage
    const { rows } = await on.query<{ id: string }>(
      `select id from ${schema}.sweep_lost_v1(100, ${schema}.clock())`,
    )
    return rows.map(({ id }) => id)
  }

  passNotes(): Promise<readonly Ticket[]> {
    return this.log.passNotes(100)
  }

  async story(id: string): Promise<readonly StoredEventType[]> {
    return (await this.log.readHistory(id)).map(({ type }) => type)
  }

  /** Its steps and waits, each with what ended it. */
  async told(id: string): Promise<readonly string[]> {
    const { steps } = await this.log.memory(id)
    return steps.map(({ name, order, by = order === undefined ? 'open' : 'kept' }) => `${name} ${by}`)
  }

  async areReady(jobs: readonly Fence[]): Promise<boolean> {
    return (await Promise.all(jobs.map(({ id }) => this.log.get(id)))).every((job) => job?.state === 'ready')
  }

  /** Notes that nobody has handled. */
  async notes(): Promise<readonly unknown[]> {
    return this.stage.sql(
      'select job_id from errand.message_notes union all select target from errand.work_notes',
    )
  }
}
