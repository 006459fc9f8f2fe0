import { createErrand, defineJob } from '@errand/core'
import type { Errand } from '@errand/core'
import { isErrandError } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { logs } from './logs.ts'

const job = defineJob({ name: 'bad-input.job' })
const by = { by: 'mia' }
const beforeAll = new Date(-8_640_000_000_000_000)
const afterAll = new Date(8_640_000_000_000_000)

async function first(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events) return
}

/** Values that no log can store, or no job can have. */
const inputs: readonly (readonly [what: string, code: string, ask: (errand: Errand) => unknown])[] = [
  ['a NUL in the name of a filter', 'E_NAME', (errand) => errand.jobs.list({ job: 'a\0' })],
  ['a NUL in the queue of a filter', 'E_NAME', (errand) => errand.jobs.list({ queue: 'a\0' })],
  ['a NUL in the tag of a filter', 'E_KEY', (errand) => errand.jobs.list({ tag: 'a\0' })],
  ['half a character in the tag of a filter', 'E_KEY', (errand) => errand.jobs.list({ tag: '\uD800' })],
  ['a tag of a filter that is no text', 'E_KEY', (errand) => errand.jobs.list({ tag: 7 as never })],
  ['a NUL in the tag of jobs to cancel', 'E_KEY', (errand) => errand.jobs.cancel({ tag: 'a\0' }, by)],
  ['a NUL in the tag of jobs to replay', 'E_KEY', (errand) => errand.jobs.replay({ tag: 'a\0' }, by)],
  ['a NUL in the tag of events', 'E_KEY', (errand) => first(errand.events.read({ tag: 'a\0' }))],
  ['a NUL in the queue of events', 'E_NAME', (errand) => first(errand.events.read({ queue: 'a\0' }))],
  [
    'a NUL in the tag to follow',
    'E_KEY',
    (errand) => first(errand.events.follow({ tag: 'a\0', signal: AbortSignal.abort() })),
  ],
  ['a NUL in a cursor', 'E_CURSOR', (errand) => first(errand.events.read({ after: '1.1\0' }))],
  ['a NUL in an id', 'E_ID', (errand) => errand.jobs.get('a\0')],
  ['a NUL in a queue to pause', 'E_NAME', (errand) => errand.queues.pause('a\0', by)],
  ['a NUL in a tag', 'E_KEY', (errand) => errand.dispatch(job, undefined, { tags: ['a\0'] })],
  ['the first moment of all', 'E_OPTION', (errand) => errand.dispatch(job, undefined, { at: beforeAll })],
  ['the last moment of all', 'E_OPTION', (errand) => errand.dispatch(job, undefined, { at: afterAll })],
  ['a filter before the first moment', 'E_OPTION', (errand) => errand.jobs.list({ before: beforeAll })],
  ['a filter before the last moment', 'E_OPTION', (errand) => errand.jobs.list({ before: afterAll })],
  [
    'a change to the first moment',
    'E_OPTION',
    async (errand) => {
      const { id } = await errand.dispatch(job, undefined, { delay: '1h' })
      await errand.jobs.change(id, { at: beforeAll }, by)
    },
  ],
]

describe.each(Object.keys(logs))('bad input on %s', (name) => {
  test('gets the same code as on every log, and nothing is stored', async () => {
    const errand = createErrand({ log: logs[name]!(), driver: 'database', logger: quietLogger })
    onTestFinished(() => errand.close())
    const answers: unknown[] = []
    for (const [what, , ask] of inputs) {
      try {
        await ask(errand)
        answers.push([what, 'no error'])
      } catch (error) {
        answers.push([what, isErrandError(error) ? error.code : String(error)])
      }
    }
    expect(answers).toEqual(inputs.map(([what, code]) => [what, code]))
    expect(await errand.jobs.list({ state: 'ready' })).toEqual([])
  })

  test('ends where a log does: the first and the last moment that all of them keep are kept', async () => {
    const errand = createErrand({ log: logs[name]!(), driver: 'database', logger: quietLogger })
    onTestFinished(() => errand.close())
    const last = new Date('9999-12-31T23:59:59.999Z')
    const late = await errand.dispatch(job, undefined, { at: last })
    expect(await errand.jobs.get(late.id)).toMatchObject({ state: 'scheduled', runAt: last })
    const first = await errand.dispatch(job, undefined, { at: new Date('0001-01-01T00:00:00.000Z') })
    expect(await errand.jobs.get(first.id)).toMatchObject({ state: 'ready' })
    expect(await errand.jobs.list({ before: last })).toHaveLength(2)
  })
})
