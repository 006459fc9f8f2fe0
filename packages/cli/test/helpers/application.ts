import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createErrand } from '@errand/core'
import type { Errand, JobDetails, Receipt } from '@errand/core'
import { database } from '@errand/driver-database'
import { sqlite } from '@errand/log-sqlite'
import { eventually } from '@errand/testkit'
import { expect, onTestFinished } from 'vitest'
import worker from '../fixtures/worker.ts'
import { emptyLog } from './empty-log.ts'
import { makeProject } from './project.ts'
import type { Project, ProjectOptions } from './project.ts'

const config = `
import { defineConfig } from 'errand'

export default defineConfig({ log: process.env.TEST_LOG ?? 'sqlite:./errand.db', worker: './worker.ts' })
`

/** An application with a job log, and the same log in the test's own process, to prepare jobs for a command. */
export interface Application extends Project {
  readonly errand: Errand
  /** Runs all that is ready, in the test's process. */
  drain(): Promise<void>
  job(receipt: Receipt<unknown>): Promise<JobDetails>
  /** All of them, newest dispatch first. */
  jobs(): Promise<readonly JobDetails[]>
  /** The types of a job's history. */
  history(receipt: Receipt<unknown>): Promise<readonly string[]>
}

/** Jobs that succeed, fail, wait for each other and linger, on a SQLite file of their own. */
export function makeApplication(options: ProjectOptions = {}): Application {
  const files = {
    'jobs.ts': fixture('jobs.ts'),
    'worker.ts': fixture('worker.ts'),
    'errand.config.ts': config,
  }
  const project = makeProject({ ...options, files: { ...files, ...options.files } })
  emptyLog(join(project.folder, 'errand.db'))
  const quiet = (): void => {}
  const errand = createErrand({
    log: sqlite({ file: join(project.folder, 'errand.db') }),
    driver: database(),
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  })
  onTestFinished(() => errand.close())

  const job = async ({ id }: Receipt<unknown>): Promise<JobDetails> => {
    const found = await errand.jobs.get(id)
    if (!found) throw new Error(`there is no job ${id}`)
    return found
  }
  return {
    ...project,
    errand,
    job,
    async jobs() {
      const found: JobDetails[] = []
      for await (const each of errand.jobs.list()) found.push(each)
      return found
    },
    history: async ({ id }) => (await errand.events.of(id)).map(({ type }) => type),
    async drain() {
      const working = errand.work(worker, { signals: false })
      await eventually(
        async () => {
          const queues = await errand.queues.list()
          expect(queues.every(({ ready, running, paused }) => (ready === 0 || paused) && running === 0)).toBe(
            true,
          )
        },
        { withinMs: 30_000 },
      )
      await working.stop()
    },
  }
}

/** As in an application that has only the package `errand`. */
function fixture(name: string): string {
  return readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8').replaceAll(
    '@errand/core',
    'errand',
  )
}
