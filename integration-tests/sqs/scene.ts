import { setTimeout as sleep } from 'node:timers/promises'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { createErrand, defineWorker, handle } from '@errand/core'
import type { Errand, Worker } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { sqs } from '@errand/driver-sqs'
import type { SqsOptions } from '@errand/driver-sqs'
import { quietLogger } from '@errand/testkit'
import type { LedgerLine } from '@errand/testkit'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import { inject } from 'vitest'
import type { TestContext } from 'vitest'
import { logs } from '../fleet/shared.ts'
import { violationsIn } from '../fleet/scene.ts'
import { broker } from '../fleet/brokers/sqs.ts'
import { Corner } from './corner.ts'
import { work } from './jobs.ts'
import { movableLog } from './log.ts'

export { logs }
/** Without an SQS there are no stories. */
export const hasSqs: boolean = inject('sqs') !== undefined

interface WorkerOptions {
  readonly concurrency?: number | undefined
  /** Its own connection to SQS, for faults that only it meets. */
  readonly client?: SQSClient | undefined
}

/** Whole workers on SQS and a job log. */
export interface Scene {
  readonly corner: Corner
  /** Dispatches and operates; on the same driver as the workers, with a client of its own. */
  readonly errand: Errand
  readonly log: JobLog
  /** The faults of all clients together. They also count the requests. */
  readonly faults: SqsFaults
  /** What handlers wrote down themselves. */
  readonly ledger: readonly LedgerLine[]
  /** Ids of jobs in the order in which their handlers began. */
  readonly begun: () => readonly string[]
  readonly advance: (ms: number) => Promise<void>
  /** Jobs that are held may end. */
  readonly letGo: () => void
  /** A worker that takes jobs, with an instance of its own as in a process of its own. */
  readonly work: (options?: WorkerOptions) => Promise<Worker>
  /** The violations of I1–I7, as text: over the log's events, and the handlers' own ledger. */
  readonly violations: () => Promise<string>
}

export async function scene(name: string, test: TestContext, options: SqsOptions = {}): Promise<Scene> {
  const corner = new Corner(broker.makeDriver(inject('sqs') ?? ''))
  const { factory, advance } = movableLog(name, test)
  const faults = new SqsFaults({ seed: 7 })
  const ledger: LedgerLine[] = []
  const gate = Promise.withResolvers<void>()

  // What was opened last is closed first: workers before the log that they settle in.
  const opened: (() => Promise<void>)[] = [() => corner.close()]
  test.onTestFinished(async () => {
    faults.rates = {}
    gate.resolve()
    for (const close of opened.toReversed()) await close()
  })

  const open = (client: SQSClient = corner.client()): Errand => {
    faults.install(client)
    const driver = sqs({ client, prefix: corner.prefix, ...options })
    // A dispatch that waits only a second calls a slow SQS down, and leaves the ticket to the relay of a worker.
    const errand = createErrand({ log: factory, driver, logger: quietLogger, publishWait: '30s' })
    opened.push(async () => {
      await errand.close()
      client.destroy()
    })
    return errand
  }

  const log = factory.open({ clock: systemClock, logger: quietLogger })
  opened.push(() => log.close())
  await log.migrate()

  return {
    corner,
    errand: open(),
    log,
    faults,
    ledger,
    begun: () => ledger.flatMap(({ jobId, mark }) => (mark === 'began' ? [jobId] : [])),
    advance,
    letGo: () => gate.resolve(),
    async work({ client, concurrency = 10 } = {}) {
      const handler = handle(work, async ({ held, ms }, ctx) => {
        const line = { jobId: ctx.job.id, run: ctx.run }
        ledger.push({ ...line, mark: 'began' })
        if (held) await gate.promise
        if (ms > 0) await sleep(ms)
        ledger.push({ ...line, mark: 'ended' })
      })
      const definition = defineWorker({ concurrency, lease: '3s', grace: '5s', handlers: [handler] })
      const worker = open(client).work(definition, { signals: false })
      await worker.ready
      return worker
    },
    violations: () => violationsIn(log, ledger),
  }
}
