// A request makes things in Errand that outlive it: connections, timers, batches. None of them may keep the request's async
// context, with the user and everything else that an application stores there.
import { AsyncLocalStorage } from 'node:async_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createErrand, defineJob } from '@errand/core'
import type { Errand } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makePlace, places } from './fleet/shared.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const job = defineJob({ name: 'forgotten', queue: 'forgotten' })
const request = new AsyncLocalStorage<object>()

/** This many requests at once need new connections. */
const atOnce = 5

const calls: Readonly<Record<string, (errand: Errand, id: string) => Promise<unknown>>> = {
  'jobs.get': (errand, id) => errand.jobs.get(id),
  'queues.list': (errand) => errand.queues.list(),
  dispatch: (errand) => errand.dispatch(job),
  'jobs.cancel': (errand, id) => errand.jobs.cancel(id, { by: 'a test' }),
  doctor: (errand) => errand.doctor(),
}

/** The context of a request, after its answer. */
async function catchContext(act: () => Promise<unknown>): Promise<WeakRef<object>> {
  const context = { user: 'ada' }
  await request.run(context, () => Promise.all(Array.from({ length: atOnce }, act)))
  return new WeakRef(context)
}

describe.each(places)('a request on $title that has been answered', ({ name }) => {
  test.each(Object.entries(calls))('is forgotten after %s', async (_what, call) => {
    const env = makePlace(name, ['forgotten'])
    const errand = createErrand({ log: env.ERRAND_LOG, driver: env.ERRAND_DRIVER, logger: quietLogger })
    onTestFinished(() => errand.close())
    await errand.migrate()
    const { id } = await errand.dispatch(job)
    const context = await catchContext(() => call(errand, id))
    await until(
      () => {
        collectGarbage()
        return context.deref() === undefined
      },
      { what: 'the context of the request is collected' },
    )
    // The instance is still in use: nothing of it was closed.
    expect(await errand.jobs.get(id)).toBeDefined()
  })
})
