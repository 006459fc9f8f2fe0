import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import type { StepRow } from '@errand/core/engine'
import type { JobState } from '@errand/core/ports'
import { migrations } from '../src/schema.ts'
import { Statements } from '../src/statements.ts'
import { jobTables } from '../src/store/jobs.ts'
import { memoryTables } from '../src/store/memory.ts'
import { jobPages } from '../src/store/pages.ts'
import { waitingJobs } from '../src/store/waiting.ts'

/** A statement with no `order by` that an index could not answer reads a whole backlog for each grant. */
const plans = {
  ready: 'errand_jobs_ready (queue=? AND lane=?)',
  overdue: 'errand_jobs_unpublished (queue=? AND publish_after<?)',
  published: 'errand_jobs_unpublished (queue=? AND publish_after>?)',
  queues: 'errand_jobs_unpublished (queue>?)',
  due: 'errand_jobs_due (run_at<?)',
  running: 'errand_jobs_running (worker=?)',
  finished: 'errand_jobs_finished (state=? AND finished_at<?)',
}

function openPlans() {
  const db = new DatabaseSync(':memory:')
  for (const { statements } of migrations) for (const statement of statements) db.exec(statement)
  const asked = new Set<string>()
  const statements = new Statements({
    prepare: (sql) => {
      asked.add(sql)
      return db.prepare(sql)
    },
  })
  const explainPlans = (ask: () => unknown): string[] => {
    asked.clear()
    ask()
    return [...asked].flatMap((sql) =>
      db
        .prepare(`explain query plan ${sql}`)
        .all()
        .map(({ detail }) => String(detail))
        .filter((detail) => /errand_(jobs|steps|messages)/.test(detail))
        .map((detail) => detail.replace(/^.*INDEX /, '')),
    )
  }
  return { statements, explainPlans }
}

test('what grants, sweeps and prunes ask for is found along an index, whatever waits', () => {
  const { statements, explainPlans } = openPlans()
  const jobs = waitingJobs(statements)
  const { finished } = jobTables(statements)
  expect(explainPlans(() => jobs.ready('a', 'lowest', 5))).toEqual([plans.ready])
  expect(explainPlans(() => jobs.overdue(['a', 'b'], 1, 5))).toEqual([plans.overdue])
  expect(explainPlans(() => jobs.unpublished(['a'], 1, 5))).toEqual([plans.queues])
  expect(explainPlans(() => jobs.published(['a'], 1, 5))).toEqual([plans.published])
  expect(explainPlans(() => jobs.due(1, 5))).toEqual([plans.due])
  expect(explainPlans(() => finished(['succeeded', 'cancelled'], 1, 5))).toEqual([plans.finished])
  expect(explainPlans(() => finished(['failed'], 1, 5))).toEqual([plans.finished])
  expect(explainPlans(() => jobs.claimsOf('worker'))).toEqual([plans.running])
})

test('what a job remembers is found by its id, however many others remember something', () => {
  const { statements, explainPlans } = openPlans()
  const memory = memoryTables(statements)
  const step: StepRow = {
    job: 'a',
    name: 's',
    kind: 'step',
    order: 1,
    run: 1,
    memoryVersion: 0,
    at: 1,
    durationMs: 1,
    until: undefined,
    on: undefined,
    by: undefined,
    body: { codec: 'json', text: '1' },
    messageId: undefined,
  }
  // Totals are not added up from the texts.
  expect(explainPlans(() => memory.stepTotals('a'))).toEqual([
    'errand_steps_order (job_id=? AND ord>?)',
    'errand_steps_order (job_id=? AND ord=?)',
  ])
  const asked = explainPlans(() => {
    memory.step('a', 's')
    memory.steps('a')
    memory.openWaits('a')
    memory.saveStep(step)
    memory.unread('a', undefined, 9)
    memory.unread('a', 'approved', 9)
    memory.countUnread('a')
    memory.hasMessage('a', 'm')
    memory.takeMessage('a', 'm')
    memory.forget(['a', 'b'])
    memory.stateOf('a')
  })
  expect(asked.filter((plan) => !/\((job_id|id)=\?/.test(plan))).toEqual([])
  expect(asked.length).toBeGreaterThan(10)
})

const lists = {
  ready: 'errand_jobs_ready (queue=? AND lane=? AND sequence<?)',
  running: 'errand_jobs_running',
  scheduled: 'errand_jobs_held (state=? AND queue=? AND sequence<?)',
  blocked: 'errand_jobs_held (state=? AND queue=? AND sequence<?)',
  failed: 'errand_jobs_held (state=? AND queue=? AND sequence<?)',
  suspended: 'errand_jobs_held (state=? AND queue=? AND sequence<?)',
  cancelled: 'errand_jobs_held (state=? AND queue=? AND sequence<?)',
}

test.each(Object.entries(lists))('a list of %s jobs of a queue is a part of an index', (state, plan) => {
  const { statements, explainPlans } = openPlans()
  const { list } = jobPages(statements)
  const found = explainPlans(() => list({ state: state as JobState, queue: 'a' }, 10, 'b'))
  expect(
    found.find((one) => one.includes('_ready') || one.includes('_held') || one.includes('_running')),
  ).toMatch(plan)
  expect(found.filter((one) => one.startsWith('SCAN') && !one.includes(plan))).toEqual([])
})

test('jobs are counted along indexes, without a look at the jobs', () => {
  const { statements, explainPlans } = openPlans()
  const jobs = waitingJobs(statements)
  statements.run(`insert into errand_jobs (id, name, queue, lane, state, run, attempt, crashes, streak, version, publishes,
    replays, max_attempts, max_crashes, on_crash, on_failure, unique_until, tags, dispatched_at)
    select value, 'n', 'q', 300, value, 0, 0, 0, 0, 1, 0, 0, 1, 1, 'retry', 'skip', 'finished', '[]', 1
      from json_each('["ready", "scheduled", "blocked", "suspended", "running"]')`)
  expect([...jobs.counts()]).toEqual([
    ['q', { ready: 1, scheduled: 1, blocked: 1, suspended: 1, running: 1 }],
  ])
  expect(explainPlans(() => jobs.counts()).filter((one) => one.startsWith('SCAN'))).toEqual([])
})
