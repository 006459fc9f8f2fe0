import { randomBytes } from 'node:crypto'
import { runInNewContext } from 'node:vm'
import { createErrand, defineJob, describeFailure, fixed, handle } from '@errand/core'
import type { Config, Errand, Failure } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { logs } from './logs.ts'

const call = defineJob({
  name: 'reasons.call',
  payload: z.object({ how: z.enum(['network', 'foreign', 'cycle']) }),
  retry: { attempts: 3, backoff: fixed(0), when: (error) => error.cause?.code !== 'ECONNREFUSED' },
})

function thrown(how: 'network' | 'foreign' | 'cycle'): unknown {
  if (how === 'foreign') {
    return runInNewContext(`Object.assign(new RangeError('of another realm'), { code: 'EFAR', status: 503 })`)
  }
  if (how === 'cycle') {
    const cycle: Record<string, unknown> = { n: 1n }
    cycle['self'] = cycle
    return cycle
  }
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:9'), {
    code: 'ECONNREFUSED',
    errno: -111,
    syscall: 'connect',
    url: 'http://user:hunter2@127.0.0.1:9/',
  })
  return new AggregateError([new Error('first'), refused], 'fetch failed', { cause: refused })
}

async function opened(log: Config['log']): Promise<Errand> {
  const encrypt = { keys: [randomBytes(32).toString('base64')] }
  const errand = createErrand({ log, driver: 'database', logger: quietLogger, encrypt })
  onTestFinished(() => errand.close())
  return errand
}

const refused = {
  name: 'Error',
  message: 'connect ECONNREFUSED 127.0.0.1:9',
  code: 'ECONNREFUSED',
  fields: { errno: -111, syscall: 'connect', url: 'http://***@127.0.0.1:9/' },
}

describe.each(Object.keys(logs))('on %s', (kind) => {
  test('an error tells its whole reason wherever it is read, and decides on its retry', async () => {
    const errand = await opened(logs[kind]!())
    const heard: Failure[] = []
    const worker = errand.work(
      {
        handlers: [
          handle(
            call,
            ({ how }) => {
              throw thrown(how)
            },
            { failed: (_payload, error) => void heard.push(error) },
          ),
        ],
        after: (ended) => void ('error' in ended && heard.push(ended.error)),
        failing: ({ error }) => void heard.push(error),
      },
      { signals: false },
    )
    await worker.ready
    const receipt = await errand.dispatch(call, { how: 'network' })
    const { id } = receipt
    const rejected: unknown = await errand.result(receipt).catch((error: unknown) => error)
    // One attempt: `when` has looked at the code of the cause.
    expect((await errand.events.of(id)).map(({ type }) => type)).toEqual([
      'dispatched',
      'started',
      'errored',
      'failed',
    ])
    const whole = {
      name: 'AggregateError',
      message: 'fetch failed',
      cause: refused,
      errors: [{ name: 'Error', message: 'first' }, refused],
    }
    expect(rejected).toMatchObject({
      code: 'E_RESULT_FAILED',
      cause: {
        name: 'AggregateError',
        message: 'fetch failed',
        cause: { code: 'ECONNREFUSED', errno: -111, syscall: 'connect', message: refused.message },
        errors: [{ message: 'first' }, { code: 'ECONNREFUSED' }],
      },
    })
    expect((rejected as Error).cause).toBeInstanceOf(AggregateError)
    await until(() => heard.length === 3)
    for (const failure of [...heard, (await errand.jobs.get(id))?.error]) expect(failure).toMatchObject(whole)
    const [, , errored, failed] = await errand.events.of(id)
    expect([errored, failed]).toMatchObject([{ error: whole }, { error: whole }])
    expect(JSON.stringify([heard, await errand.events.of(id)])).not.toContain('hunter2')

    const far = await errand.dispatch(call, { how: 'foreign' })
    await errand.result(far).catch(() => undefined)
    expect((await errand.jobs.get(far.id))?.error).toMatchObject({
      name: 'RangeError',
      message: 'of another realm',
      code: 'EFAR',
      fields: { status: 503 },
    })
    const round = await errand.dispatch(call, { how: 'cycle' })
    await errand.result(round).catch(() => undefined)
    const { error } = (await errand.jobs.get(round.id))!
    expect(describeFailure(error!)).toBe('Error: <ref *1> { n: 1n, self: [Circular *1] }')
  })
})
