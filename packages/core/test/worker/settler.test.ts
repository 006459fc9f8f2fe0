import { expect, test } from 'vitest'
import type { Publisher } from '../../src/dispatch/publisher.ts'
import type { Settled, Settlement } from '../../src/job/outcome.ts'
import type { Ticket } from '../../src/job/ticket.ts'
import type { JobLog } from '../../src/ports/job-log.ts'
import { ErrandError } from '../../src/errors.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { Settler } from '../../src/worker/run/settler.ts'
import { recordingLogger } from '../recording-logger.ts'

const clock = virtualClock()
const ref = { id: 'w', host: 'here', pid: 1, leaseMs: 1, graceMs: 1 }
const ticket = (id: string): Ticket => ({ id, queue: 'default', lane: 'normal', log: 'here' })
const succeed = (id: string): Settlement => ({ id, run: 1, durationMs: 1, outcome: { kind: 'succeed' } })
const settled = (id: string, more: Partial<Settled> = {}): Settled => ({
  id,
  run: 1,
  result: 'settled',
  event: 'succeeded',
  state: 'succeeded',
  tickets: [],
  pending: false,
  ...more,
})

function settlerOn(log: Partial<JobLog>): {
  readonly settler: Settler
  readonly published: string[]
  readonly logger: ReturnType<typeof recordingLogger>
} {
  const published: string[] = []
  const publisher: Publisher = {
    down: undefined,
    publish: async (tickets) => {
      published.push(...tickets.map(({ id }) => id))
      return { accepted: tickets, refused: [] }
    },
    close: async () => undefined,
  }
  const settings = { batchItems: 500, batchBytes: 1_000_000 }
  const logger = recordingLogger()
  return {
    settler: new Settler({
      log: { notify: async () => undefined, ...log } as JobLog,
      ref,
      publisher,
      recorded: () => undefined,
      clock,
      logger,
      settings,
    }),
    published,
    logger,
  }
}

test('outcomes that gather while one statement is in flight go together in the next', async () => {
  const batches: string[][] = []
  const first = Promise.withResolvers<void>()
  const { settler } = settlerOn({
    settle: async (settlements) => {
      batches.push(settlements.map(({ id }) => id))
      if (batches.length === 1) await first.promise
      return settlements.map(({ id }) => settled(id))
    },
  })
  const all = [settler.settle(succeed('a'))]
  await clock.advance(0)
  for (const id of ['b', 'c', 'd']) all.push(settler.settle(succeed(id)))
  await clock.advance(0)
  first.resolve()
  await Promise.all(all)
  expect(batches).toEqual([['a'], ['b', 'c', 'd']])
})

test('the successor of a key is published at once; one whose row was locked a few milliseconds later', async () => {
  let asked = 0
  const { settler, published } = settlerOn({
    settle: async (settlements) =>
      settlements.map(({ id }) =>
        settled(id, id === 'a' ? { tickets: [ticket('next of a')] } : { pending: true }),
      ),
    passNotes: async () => {
      asked += 1
      return asked === 1 ? [] : [ticket('next of b')]
    },
  })
  await settler.settle(succeed('a'))
  expect(published).toEqual(['next of a'])
  await settler.settle(succeed('b'))
  await clock.advance(100)
  expect(published).toEqual(['next of a', 'next of b'])
  await clock.advance(1_000)
  expect(asked).toBe(2)
})

test('keys that stay locked are left to the sweep', async () => {
  let asked = 0
  const { settler } = settlerOn({
    settle: async (settlements) => settlements.map(({ id }) => settled(id, { pending: true })),
    passNotes: async () => {
      asked += 1
      return []
    },
  })
  await settler.settle(succeed('a'))
  await clock.advance(60_000)
  expect(asked).toBe(5)
})

test('it offers outcomes until it is told to give up', async () => {
  let offered = 0
  const { settler } = settlerOn({
    settle: async () => {
      offered += 1
      throw new Error('the database is down')
    },
  })
  const refused = expect(settler.settle(succeed('a'))).rejects.toThrow('the database is down')
  await clock.advance(60_000)
  expect(offered).toBeGreaterThan(10)
  settler.giveUp()
  await refused
  await settler.close()
})

/** A log that never records the outcome of `poisoned`: it names it, or the whole call throws. */
function refusing(how: 'named' | 'thrown', also: () => boolean = () => true): Partial<JobLog> {
  return {
    settle: async (settlements) => {
      const poisoned = settlements.some(({ id }) => id === 'poisoned') && also()
      if (poisoned && how === 'thrown') throw new ErrandError('E_LOG', 'null value in column "version"')
      return settlements.map(({ id, run }) =>
        poisoned && id === 'poisoned'
          ? { id, run, result: 'refused', why: 'null value in column "version"' }
          : settled(id),
      )
    },
  }
}

test.each(['named', 'thrown'] as const)(
  'an outcome that is refused for good, %s, holds up no other and is set aside loudly',
  async (how) => {
    const { settler, logger } = settlerOn(refusing(how))
    const poisoned = settler.settle(succeed('poisoned'))
    const refused = poisoned.catch((error: unknown) => error)
    const others = Array.from({ length: 20 }, (_, index) => settler.settle(succeed(`other ${index}`)))
    await clock.advance(200)
    expect((await Promise.all(others)).every(({ result }) => result === 'settled')).toBe(true)
    expect(settler.hasAside(succeed('poisoned'))).toBe(false)
    for (let tries = 0; !settler.hasAside(succeed('poisoned')); tries += 1) {
      expect(tries).toBeLessThan(100)
      await clock.advance(5_000)
      await settler.settle(succeed('later'))
    }
    expect(await refused).toMatchObject({
      code: 'E_LOG',
      message: expect.stringContaining('null value') as unknown,
    })
    expect(logger.lines.filter(({ level }) => level === 'error')).toMatchObject([
      { message: expect.stringContaining('set aside') as unknown },
    ])
    settler.giveUp()
    await settler.close()
  },
)

test('a run whose outcome was set aside is given up after ten more minutes, with an error in the log', async () => {
  let damaged = true
  const { settler, logger } = settlerOn(refusing('named', () => damaged))
  settler.settle(succeed('poisoned')).catch(() => undefined)
  while (!settler.hasAside(succeed('poisoned'))) await clock.advance(5_000)
  await clock.advance(9 * 60_000)
  expect(settler.givenUp).toEqual([])
  await clock.advance(2 * 60_000)
  expect(settler.givenUp).toEqual([{ id: 'poisoned', run: 1 }])
  const given = logger.lines.filter(({ message }) => message?.includes('given up as lost'))
  expect(given.map(({ level }) => level)).toEqual(['error'])
  damaged = false
  await clock.advance(60_000)
  expect(settler.givenUp).toEqual([])
})

test('an outcome that was set aside is recorded when the log takes it after all', async () => {
  let damaged = true
  const { settler } = settlerOn(refusing('named', () => damaged))
  settler.settle(succeed('poisoned')).catch(() => undefined)
  while (!settler.hasAside(succeed('poisoned'))) await clock.advance(5_000)
  damaged = false
  await clock.advance(120_000)
  expect(settler.hasAside(succeed('poisoned'))).toBe(false)
})

test('a log that records nothing at all is not the fault of an outcome: none is set aside', async () => {
  let down = true
  const { settler } = settlerOn({
    settle: async (settlements) => {
      if (down) throw new ErrandError('E_LOG', 'could not extend file: No space left on device')
      return settlements.map(({ id }) => settled(id))
    },
  })
  const all = ['a', 'b', 'c'].map((id) => settler.settle(succeed(id)))
  for (let minutes = 0; minutes < 30; minutes += 1) await clock.advance(60_000)
  down = false
  await clock.advance(60_000)
  expect((await Promise.all(all)).map(({ result }) => result)).toEqual(['settled', 'settled', 'settled'])
})

test('a worker that stops waits for no outcome that is refused', async () => {
  const { settler } = settlerOn(refusing('thrown'))
  const end = settler.settle(succeed('poisoned')).catch(() => 'given up')
  await clock.advance(10_000)
  settler.giveUp()
  await settler.close()
  expect(await end).toBe('given up')
})
