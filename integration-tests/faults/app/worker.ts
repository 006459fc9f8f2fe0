/** A worker process that faults happen to. Lines that it is told on its standard input change what its SQS does. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, defineWorker, handle } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { fleetHandlers, notedIn } from '../../fleet/app/handlers.ts'
import { isGateOpen } from '../../fleet/app/ledger.ts'
import { driverOf } from './driver.ts'
import { effectsIn } from './effects.ts'
import { withFailpoint } from './failpoint.ts'
import {
  blocking,
  carrying,
  deaf,
  greedy,
  grown,
  held,
  heldOnce,
  novel,
  paid,
  rejecting,
  skipping,
  stuck,
  suicidal,
} from './jobs.ts'
import { onLine } from './leash.ts'

const url = process.env['ERRAND_LOG'] ?? ''
const ledger = process.env['LEDGER'] ?? ''
const noted = notedIn(ledger)
const effects = effectsIn(url)
const { driver, disturb } = await driverOf(process.env['ERRAND_DRIVER'])
onLine((line) => disturb(line))

const untilOpen = async (gate: string, signal?: AbortSignal): Promise<void> => {
  while (!isGateOpen(`${ledger}.${gate}`)) await sleep(20, undefined, { signal })
}
const fail = ({ fails }: { fails: boolean }): void => {
  if (fails) throw new Error('it always fails')
}

const isNew = process.env['VERSION'] === '2'
const handlers = [
  ...fleetHandlers(ledger),
  handle(paid, async ({ ms }, ctx) => {
    await noted(ctx, () => sleep(ms, undefined, { signal: ctx.signal }))
    // Beyond the ledger's last line: a commit whose reply is lost throws, and the job has succeeded all the same.
    await effects.write(ctx)
  }),
  handle(held, ({ gate }, ctx) => noted(ctx, () => untilOpen(gate, ctx.signal))),
  handle(heldOnce, ({ gate }, ctx) => noted(ctx, () => untilOpen(gate, ctx.signal))),
  handle(stuck, (_, ctx) => noted(ctx, () => new Promise<void>(() => {}))),
  handle(deaf, ({ gate }, ctx) => noted(ctx, () => untilOpen(gate))),
  handle(rejecting, (_, ctx) =>
    noted(ctx, async () => {
      void Promise.reject(new Error('nobody waits for this promise'))
      await sleep(60_000, undefined, { signal: ctx.signal })
    }),
  ),
  handle(greedy, (_, ctx) =>
    noted(ctx, () => {
      const kept: object[] = []
      for (;;) kept.push(Array.from({ length: 10_000 }, (_each, index) => ({ index })))
    }),
  ),
  handle(suicidal, (_, ctx) =>
    noted(ctx, () => {
      process.exit(1)
    }),
  ),
  handle(blocking, (payload, ctx) => noted(ctx, () => fail(payload))),
  handle(skipping, (payload, ctx) => noted(ctx, () => fail(payload))),
  handle(carrying, (_, ctx) => noted(ctx, () => {})),
  isNew
    ? handle(grown[2], (_, ctx) => noted(ctx, () => {}))
    : handle(grown[1], (_, ctx) => noted(ctx, () => {})),
  ...(isNew ? [handle(novel, (_, ctx) => noted(ctx, () => {}))] : []),
]

const errand = createErrand({
  log: withFailpoint(logFromUrl(url), process.env['ERRAND_FAILPOINT']),
  driver,
})
const worker = errand.work(
  defineWorker({
    concurrency: Number(process.env['CONCURRENCY'] ?? 10),
    lease: Number(process.env['LEASE_MS'] ?? 3_000),
    grace: Number(process.env['GRACE_MS'] ?? 2_000),
    handlers,
  }),
  { queues: (process.env['QUEUES'] ?? 'work').split(',') },
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
