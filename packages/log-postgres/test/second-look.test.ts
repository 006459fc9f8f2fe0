import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Claim, JobLog, WorkerRef } from '@errand/core/ports'
import { newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { describeOnPostgres } from './stage.ts'

const queue = 'lost'

/** A lock of the test's own: the sweep waits for it after it has looked for lost runs, and before it locks them. */
const gate = 4_711

interface Scene {
  readonly log: JobLog
  readonly by: WorkerRef
  readonly claim: Claim
}

/*
 * A sweep looks for lost runs without locks, then locks them and looks again. A policy of a table is evaluated in the middle
 * of the first look. There the sweep of this test waits while something happens to the run.
 */
describeOnPostgres('a run that is no longer lost when a sweep locks it', ({ stage, log }) => {
  const role = `errand_test_${randomUUID().slice(0, 8)}`
  beforeAll(async () => {
    await stage.sql(`
      create function errand.wait_at_gate() returns boolean language plpgsql volatile as $$
      begin
        perform pg_advisory_lock_shared(${gate});
        perform pg_advisory_unlock_shared(${gate});
        return true;
      end $$;
      create role ${role};
      grant usage, create on schema ${stage.schema} to ${role};
      grant all on all tables in schema ${stage.schema} to ${role};
      grant all on all sequences in schema ${stage.schema} to ${role};
      alter table errand.workers enable row level security;
      create policy gate on errand.workers using (errand.wait_at_gate());
      alter function errand.sweep_lost_v1 owner to ${role};
      alter function errand.sweep_lost_v1 security definer`)
  })
  afterAll(async () => void (await stage.sql(`drop owned by ${role} cascade; drop role ${role}`)))

  async function runWithLeaseOut(): Promise<Scene> {
    const by = workerRef()
    await log.append([newJob({ queue })])
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
    const [claim] = await log.take([queue], 1, by, randomUUID())
    await stage.sql(
      `update errand.workers set lease_until = errand.clock() - interval '1 second' where id = $1`,
      [by.id],
    )
    return { log, by, claim: claim! }
  }

  async function sweepWhile(act: () => Promise<unknown>): Promise<unknown[]> {
    const holder = await stage.client()
    await holder.query('select pg_advisory_lock($1)', [gate])
    const sweeping = stage.sql(`select kind, id from errand.sweep_lost_v1(100, errand.clock())`)
    await until(
      async () =>
        (
          await stage.sql(
            `select from pg_locks where locktype = 'advisory' and objid = ${gate} and not granted`,
          )
        ).length > 0,
      { what: 'the sweep has looked' },
    )
    await act()
    await holder.query('select pg_advisory_unlock($1)', [gate])
    return sweeping
  }

  const happenings: readonly (readonly [
    what: string,
    act: (on: Scene) => Promise<unknown>,
    then: string[],
  ])[] = [
    [
      'its worker beats again',
      ({ by }) => log.beat(by, { queues: [queue], taking: true, progress: [] }),
      ['dispatched', 'started'],
    ],
    [
      'its worker records an error, and it waits for its retry',
      ({ by, claim }) => log.settle([settlement(claim, outcomes.retry(3_600_000))], by),
      ['dispatched', 'started', 'errored'],
    ],
  ]
  it.for(happenings)('%s: nothing is called lost', async ([, act, history]) => {
    const on = await runWithLeaseOut()
    expect(await sweepWhile(() => act(on))).toEqual([])
    expect((await log.readHistory(on.claim.id)).map(({ type }) => type)).toEqual(history)
  })

  it('without any of that it is lost', async () => {
    const { claim } = await runWithLeaseOut()
    expect(await sweepWhile(async () => {})).toEqual([{ kind: 'ready', id: claim.id }])
  })
})
