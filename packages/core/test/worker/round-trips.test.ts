import { expect, test } from 'vitest'
import type { Claim } from '../../src/job/claim.ts'
import type { Settled, Settlement } from '../../src/job/outcome.ts'
import type { QueueName } from '../../src/job/ticket.ts'
import { ErrandError } from '../../src/errors.ts'
import type { JobLog } from '../../src/ports/job-log.ts'
import { RoundTrips } from '../../src/worker/run/round-trips.ts'

const ref = { id: 'w', host: 'here', pid: 1, leaseMs: 1, graceMs: 1 }
const succeed = (id: string): Settlement => ({ id, run: 1, durationMs: 1, outcome: { kind: 'succeed' } })
const settled = (id: string, next?: string): Settled => ({
  id,
  run: 1,
  result: 'settled',
  event: 'succeeded',
  state: 'succeeded',
  tickets: next === undefined ? [] : [{ id: next, queue: 'q', lane: 'normal', log: 'here' }],
  pending: false,
})
const claim = (id: string): Claim => ({ id, run: 1 }) as Claim
const none: ReadonlySet<QueueName> = new Set()

/** Round trips to a log that notes its calls. Outcomes are about to be sent as long as the test says so. */
function rig(log: Partial<JobLog> = {}, offersBoth = true) {
  const calls: string[] = []
  const about = { toSettle: true }
  const answers: Pick<JobLog, 'settle' | 'take' | 'settleAndTake'> = {
    settle: async (settlements) => {
      calls.push(`settle ${settlements.map(({ id }) => id).join()}`)
      return settlements.map(({ id }) => settled(id))
    },
    take: async (_queues, max, _by, request) => {
      calls.push(`take ${max} ${request}`)
      return [claim('taken')]
    },
    settleAndTake: async (settlements, _queues, max, _by, request) => {
      calls.push(`both ${settlements.map(({ id }) => id).join()} ${max} ${request}`)
      return { settled: settlements.map(({ id }) => settled(id, 'taken')), claims: [claim('taken')] }
    },
    ...log,
  }
  if (!offersBoth) delete answers.settleAndTake
  const trips = new RoundTrips({ log: answers, ref, isAboutToSettle: () => about.toSettle })
  return { calls, about, trips }
}

test('a request and the outcomes of the same turn go together, and what was granted needs no ticket', async () => {
  const { calls, trips } = rig()
  const taking = trips.take(['q'], 3, 'r1')
  const [answer] = await trips.settle([succeed('a')], none)
  expect(await taking).toEqual([claim('taken')])
  expect(answer).toMatchObject({ result: 'settled', tickets: [] })
  expect(calls).toEqual(['both a 3 r1'])
})

test('a request goes alone while no outcomes wait, and outcomes go alone without a request', async () => {
  const { calls, about, trips } = rig()
  about.toSettle = false
  await trips.take(['q'], 3, 'r1')
  await trips.settle([succeed('a')], none)
  expect(calls).toEqual(['take 3 r1', 'settle a'])
})

test('each goes alone where the log has no call for both', async () => {
  const { calls, trips } = rig({}, false)
  trips.listen(() => expect.unreachable())
  await Promise.all([trips.take(['q'], 3, 'r1'), trips.settle([succeed('a')], new Set(['q']))])
  expect(calls).toEqual(['take 3 r1', 'settle a'])
})

test('of two requests the first goes with the outcomes, and the other one beside them', async () => {
  const { calls, trips } = rig()
  const taking = [trips.take(['q'], 3, 'r1'), trips.take(['other'], 4, 'r2')]
  await trips.settle([succeed('a')], none)
  await Promise.all(taking)
  expect(calls.toSorted()).toEqual(['both a 3 r1', 'take 4 r2'])
})

test('a request does not wait for many outcomes, unless they pass on a key', async () => {
  const { calls, trips } = rig()
  const many = Array.from({ length: 17 }, (_, n) => succeed(`${n}`))
  await Promise.all([trips.take(['q'], 3, 'r1'), trips.settle(many, none)])
  expect(calls).toEqual(['take 3 r1', expect.stringMatching(/^settle 0,1,/)])
  await Promise.all([trips.take(['q'], 3, 'r2'), trips.settle(many, new Set(['q']))])
  expect(calls.at(-1)).toMatch(/^both 0,1,.* 3 r2$/)
})

test('a subscription is told before an end may pass on a key, and what it asks for then goes with it', async () => {
  const { calls, about, trips } = rig()
  about.toSettle = false
  let taking: Promise<readonly Claim[]> | undefined
  const forget = trips.listen((queue) => {
    // As a subscription that waits: a few microtasks later.
    taking = Promise.resolve().then(() => trips.take([queue], 1, 'r1'))
  })
  await trips.settle([succeed('a')], new Set(['q']))
  expect(await taking).toHaveLength(1)
  expect(calls).toEqual(['both a 1 r1'])
  forget()
  await trips.settle([succeed('b')], new Set(['q']))
  expect(calls.at(-1)).toBe('settle b')
})

test('if both fail together, each is done apart, the take with the same request', async () => {
  const { calls, trips } = rig({
    settleAndTake: async () => {
      throw new ErrandError('E_LEASE_OUT', 'the lease is out')
    },
    take: async (_queues, _max, _by, request) => {
      calls.push(`take ${request}`)
      throw new ErrandError('E_LEASE_OUT', 'the lease is out')
    },
  })
  const taking = trips.take(['q'], 3, 'r1')
  const [[answer], error] = await Promise.all([
    trips.settle([succeed('a')], none),
    taking.catch((thrown: unknown) => thrown),
  ])
  expect(answer).toMatchObject({ result: 'settled' })
  expect(error).toMatchObject({ code: 'E_LEASE_OUT' })
  expect(calls).toEqual(['take r1', 'settle a'])
})

test('what the call leaves undecided is settled apart, in its place; the jobs do not wait for that', async () => {
  const late = Promise.withResolvers<void>()
  const { trips } = rig({
    settleAndTake: async () => ({
      settled: [settled('a'), undefined, settled('c')],
      claims: [claim('taken')],
    }),
    settle: async (settlements) => {
      await late.promise
      return settlements.map(({ id }) => ({ ...settled(id), event: 'fenced' as const }))
    },
  })
  const taking = trips.take(['q'], 3, 'r1')
  const settling = trips.settle([succeed('a'), succeed('b'), succeed('c')], none)
  expect(await taking).toHaveLength(1)
  late.resolve()
  expect((await settling).map((answer) => [answer.id, 'event' in answer && answer.event])).toEqual([
    ['a', 'succeeded'],
    ['b', 'fenced'],
    ['c', 'succeeded'],
  ])
})
