import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { migrations } from '../src/schema.ts'
import { Statements } from '../src/statements.ts'
import { jobTables } from '../src/store/jobs.ts'
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

test('what grants, sweeps and prunes ask for is found along an index, whatever waits', () => {
  using db = new DatabaseSync(':memory:')
  for (const { statements } of migrations) for (const statement of statements) db.exec(statement)
  const asked = new Set<string>()
  const statements = new Statements({
    prepare: (sql) => {
      asked.add(sql)
      return db.prepare(sql)
    },
  })
  const jobs = waitingJobs(statements)
  const { finished } = jobTables(statements)
  const explainPlans = (ask: () => unknown): string[] => {
    asked.clear()
    ask()
    return [...asked].flatMap((sql) =>
      db
        .prepare(`explain query plan ${sql}`)
        .all()
        .map(({ detail }) => String(detail))
        .filter((detail) => detail.includes('errand_jobs'))
        .map((detail) => detail.replace(/^.*INDEX /, '')),
    )
  }
  expect(explainPlans(() => jobs.ready('a', 'lowest', 5))).toEqual([plans.ready])
  expect(explainPlans(() => jobs.overdue(['a', 'b'], 1, 5))).toEqual([plans.overdue])
  expect(explainPlans(() => jobs.unpublished(['a'], 1, 5))).toEqual([plans.queues])
  expect(explainPlans(() => jobs.published(['a'], 1, 5))).toEqual([plans.published])
  expect(explainPlans(() => jobs.due(1, 5))).toEqual([plans.due])
  expect(explainPlans(() => finished(['succeeded', 'cancelled'], 1, 5))).toEqual([plans.finished])
  expect(explainPlans(() => finished(['failed'], 1, 5))).toEqual([plans.finished])
  expect(explainPlans(() => jobs.claimsOf('worker'))).toEqual([plans.running])
})
