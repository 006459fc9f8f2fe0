// A worker on a broker that does not let it in, for example because of a wrong URL.
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, it } from 'vitest'
import type { DoctorReport } from '@errand/core'
import { until } from '@errand/testkit'
import { errandCommand, node } from '../examples/commands.ts'
import { makeLog } from '../fleet/shared.ts'
import { newPrefix } from './broker.ts'

const amqp = inject('amqp')
const cwd = fileURLToPath(new URL('..', import.meta.url))
const queues = Array.from({ length: 10 }, (_, n) => `queue-${n}`)

const debugLevel = 20

interface Line {
  /** As pino counts. */
  readonly level: number
  readonly msg: string
  readonly err?: { readonly message: string } | undefined
}

describe.skipIf(amqp === undefined)('a worker that the broker does not let in', () => {
  const { host } = new URL(amqp ?? 'amqp://127.0.0.1')
  const cases = [
    { what: 'wrong password', driver: `amqp://somebody:s3cret@${host}`, said: 'refuses this user' },
    { what: 'wrong vhost', driver: `amqp://guest:guest@${host}/no-such`, said: 'has no vhost "no-such"' },
  ]

  it.each(cases)(
    '$what: one reason once, for ten queues, and no word of taking jobs',
    async ({ driver, said }) => {
      const env = {
        ERRAND_LOG: makeLog('sqlite'),
        ERRAND_LOG_LEVEL: 'debug',
        ERRAND_DRIVER: `${driver}?prefix=${newPrefix()}`,
      }
      const program = `import { createErrand, defineJob, handle } from '@errand/core'
      const errand = createErrand()
      const jobs = ${JSON.stringify(queues)}.map((queue) => defineJob({ name: queue, queue }))
      for (const job of jobs) await errand.dispatch(job, undefined, { delay: '1h' })
      errand.work({ handlers: jobs.map((job) => handle(job, () => {})) })`
      await using worker = node(['--input-type=module', '--eval', program], { cwd, env })
      const lines = (): Line[] =>
        worker
          .output()
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line) as Line)
      const about = (line: Line): boolean => line.err?.message.includes(said) === true
      await until(
        () => {
          expect(worker.child.exitCode, worker.output()).toBe(null)
          return lines().filter(about).length > 30
        },
        { what: 'each queue was tried three times', withinMs: 60_000 },
      )
      const reasons = lines().filter((line) => about(line) && line.level > debugLevel)
      expect(reasons).toHaveLength(1)
      expect(worker.output()).not.toContain('the worker takes jobs')
      expect(worker.output()).toContain('the worker takes no jobs yet')
      expect(worker.output()).not.toContain('s3cret')

      await using ran = node([errandCommand, 'doctor', '--json'], {
        cwd,
        env: { ...env, ERRAND_LOG_LEVEL: 'silent' },
      })
      expect(await ran.exitCode).toBe(1)
      const { findings } = JSON.parse(ran.stdout()) as DoctorReport
      const broker = findings.filter(({ code }) => code === 'broker-unreachable')
      expect(broker, ran.output()).toHaveLength(1)
      expect(broker[0]?.message).toContain(said)
    },
  )
})
