import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineJob, defineLimit, defineWorker, handle } from '../../src/index.ts'
import { resolvedLimit, resolveValues } from '../../src/define/limit.ts'
import { resolveWorker } from '../../src/define/worker.ts'
import { catchRefusal } from '../catch-refusal.ts'

const key = (p: { tenant: string }): string => p.tenant

/** As JavaScript may call it. */
const define = (limit: object): unknown => defineLimit({ name: 'mail', ...limit })

describe('defineLimit', () => {
  it.each([
    ['no name', { name: '', concurrency: 1 }, 'E_NAME', 'not a name for a limit'],
    ['nothing to limit', {}, 'E_LIMIT', 'limits nothing'],
    ['a concurrency of 0', { concurrency: 0 }, 'E_LIMIT', 'close the limit or pause the queue'],
    ['a concurrency of 1.5', { concurrency: 1.5 }, 'E_LIMIT', 'a whole number from 1 to 10000'],
    ['a concurrency as text', { concurrency: '5' }, 'E_LIMIT', 'a whole number from 1 to 10000'],
    ['a concurrency per key of -1', { key, concurrency: { perKey: -1 } }, 'E_LIMIT', 'concurrency.perKey'],
    ['a value per key, and no key', { concurrency: { perKey: 5 } }, 'E_LIMIT', 'give it a key'],
    ['a rate per key, and no key', { rate: { perKey: { max: 1, per: '1s' } } }, 'E_LIMIT', 'give it a key'],
    ['a rate per 0', { rate: { max: 5, per: 0 } }, 'E_LIMIT', 'the time must be above 0'],
    ['a rate of 0', { rate: { max: 0, per: '1s' } }, 'E_LIMIT', 'a number above 0'],
    ['a rate without a time', { rate: { max: 5 } }, 'E_DURATION', 'rate.per'],
    ['a rate with a wrong time', { rate: { max: 5, per: 'minute' } }, 'E_DURATION', "'30s'"],
    ['a burst of 0', { rate: { max: 5, per: '1s', burst: 0 } }, 'E_OPTION', 'burst'],
    ['a word that is none', { concurrency: { totl: 5 } }, 'E_OPTION', 'total'],
    ['an unknown option', { concurency: 5 }, 'E_OPTION', 'concurrency'],
    ['a key that is a text', { key: 'tenant', concurrency: 5 }, 'E_OPTION', 'key'],
  ])('%s is refused, with what to write instead', async (_, limit, code, message) => {
    expect(await catchRefusal(async () => define(limit))).toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    })
  })

  it('a number is the concurrency in all, and a rate of its own the one in all', () => {
    expect(resolveValues('x', { concurrency: 5, rate: { max: 100, per: '1m' } })).toEqual({
      total: 5,
      rate: { everyMs: 600, burst: 2 },
    })
    expect(
      resolveValues('x', {
        concurrency: { total: 50, perKey: 5 },
        rate: { total: { max: 10, per: '1s' }, perKey: { max: 1, per: '1h', burst: 3 } },
      }),
    ).toEqual({
      total: 50,
      perKey: 5,
      rate: { everyMs: 100, burst: 10 },
      keyRate: { everyMs: 3_600_000, burst: 3 },
    })
  })

  it('several jobs share one limit, and two limits of one name in a worker are refused', async () => {
    const mail = defineLimit({ name: 'mail', concurrency: 5 })
    const same = defineLimit({ name: 'mail', concurrency: 5 })
    const [a, b, c] = [mail, mail, same].map((limit, index) => defineJob({ name: `job-${index}`, limit }))
    const handlers = [a!, b!].map((job) => handle(job, () => {}))
    expect([...resolveWorker(defineWorker({ handlers })).limits]).toEqual([['mail', resolvedLimit(mail)]])
    expect(
      await catchRefusal(async () =>
        resolveWorker(defineWorker({ handlers: [...handlers, handle(c!, () => {})] })),
      ),
    ).toMatchObject({ code: 'E_LIMIT', message: expect.stringContaining('share it') as string })
  })

  it('a limit that defineLimit did not make is refused by the job', async () => {
    const payload = z.object({ tenant: z.string() })
    expect(
      await catchRefusal(async () => defineJob({ name: 'mail', payload, limit: { name: 'mail' } as never })),
    ).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('defineLimit()') as string })
  })
})
