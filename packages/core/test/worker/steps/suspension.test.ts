import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../../../../../integration-tests/services/tries.ts'
import { virtualClock } from '../../../src/testing/virtual-clock.ts'
import { Awaitable } from '../../../src/worker/steps/awaitable.ts'
import { Suspension } from '../../../src/worker/steps/suspension.ts'
import { realWaiting, suspendAfterMs } from '../../../src/worker/steps/waiting.ts'

const clock = (): ReturnType<typeof virtualClock> => virtualClock()

function suspending(over = clock()): {
  suspension: Suspension<string>
  suspended: (readonly string[])[]
  clock: ReturnType<typeof virtualClock>
} {
  const suspended: (readonly string[])[] = []
  const { quiet } = realWaiting(over)
  const suspension = new Suspension<string>({ quiet, suspend: (waits) => suspended.push(waits) })
  return { suspension, suspended, clock: over }
}

test('a promise tells when somebody begins to wait for it, once', async () => {
  const told: string[] = []
  const make = (name: string): Awaitable<number> => {
    const made = new Awaitable<number>((resolve) => resolve(1))
    made.onAwaited = () => told.push(name)
    return made
  }
  const left = make('left')
  expect(told).toEqual([])
  expect(await make('await')).toBe(1)
  expect(await Promise.all([make('all'), make('race')])).toEqual([1, 1])
  const twice = make('twice')
  const derived = twice.then((value) => value + 1)
  expect(await derived).toBe(2)
  await twice
  expect(told).toEqual(['await', 'all', 'race', 'twice'])
  expect(derived).not.toBeInstanceOf(Awaitable)
  expect(left).toBeInstanceOf(Promise)
})

test('a run suspends a quarter of a second after it awaits a wait, and not before', async () => {
  const { suspension, suspended, clock } = suspending()
  suspension.wait('nap')
  await clock.advance(10 * suspendAfterMs)
  expect(suspended).toEqual([])
  suspension.await('nap')
  await clock.advance(suspendAfterMs - 1)
  expect(suspended).toEqual([])
  await clock.advance(1)
  expect(suspended).toEqual([['nap']])
})

test('a run does not suspend while a step is under way, and its time begins anew after it', async () => {
  const { suspension, suspended, clock } = suspending()
  suspension.wait('nap')
  suspension.await('nap')
  suspension.begin()
  await clock.advance(60_000)
  suspension.end()
  await clock.advance(suspendAfterMs - 1)
  expect(suspended).toEqual([])
  await clock.advance(1)
  expect(suspended).toEqual([['nap']])
})

test('a run of a worker that stops suspends at once, but not in the middle of a step', async () => {
  const { suspension, suspended } = suspending()
  suspension.wait('nap')
  suspension.await('nap')
  suspension.begin()
  suspension.hurry()
  await new Promise((resolve) => setImmediate(resolve))
  expect(suspended).toEqual([])
  suspension.end()
  await new Promise((resolve) => setImmediate(resolve))
  expect(suspended).toEqual([['nap']])
})

type Act =
  | { readonly act: 'begin' | 'end' | 'hurry' | 'close' }
  | { readonly act: 'wait' | 'await' | 'drop'; readonly wait: string }
  | { readonly act: 'pass'; readonly ms: number }

const waits = fc.constantFrom('a', 'b', 'c')
const acts: fc.Arbitrary<Act> = fc.oneof(
  { arbitrary: fc.record({ act: fc.constantFrom('begin' as const, 'end' as const) }), weight: 6 },
  {
    arbitrary: fc.record({ act: fc.constantFrom('wait' as const, 'await' as const), wait: waits }),
    weight: 8,
  },
  { arbitrary: fc.record({ act: fc.constant('drop' as const), wait: waits }), weight: 2 },
  { arbitrary: fc.record({ act: fc.constant('pass' as const), ms: fc.nat({ max: 400 }) }), weight: 6 },
  { arbitrary: fc.record({ act: fc.constantFrom('hurry' as const, 'close' as const) }), weight: 1 },
)

test('whatever the handler does, its run suspends once, with what it awaits, and only while it is quiet', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { maxLength: 30, size: 'max' }), async (story) => {
      const { suspension, suspended, clock } = suspending()
      const open = new Set<string>()
      const awaited = new Set<string>()
      let busy = 0
      let quietMs = 0
      let isOver = false
      let isHurried = false
      for (const act of story) {
        const before = suspended.length
        switch (act.act) {
          case 'begin':
            busy += 1
            suspension.begin()
            break
          case 'end':
            if (busy === 0) continue
            busy -= 1
            suspension.end()
            break
          case 'wait':
            open.add(act.wait)
            suspension.wait(act.wait)
            break
          case 'await':
            if (open.has(act.wait)) awaited.add(act.wait)
            else continue
            suspension.await(act.wait)
            break
          case 'drop':
            open.delete(act.wait)
            awaited.delete(act.wait)
            suspension.drop(act.wait)
            break
          case 'hurry':
            isHurried = true
            suspension.hurry()
            break
          case 'close':
            isOver = true
            suspension.close()
            break
          case 'pass':
            await clock.advance(act.ms)
            quietMs += act.ms
            break
          default:
            act satisfies never
        }
        if (act.act !== 'pass') {
          quietMs = 0
          // Nothing suspends within the turn in which something is begun.
          expect(suspended).toHaveLength(before)
          await new Promise((resolve) => setImmediate(resolve))
        }
        const onlyWaits = busy === 0 && awaited.size > 0
        if (suspended.length > before) {
          expect(isOver).toBe(false)
          expect(onlyWaits && (isHurried || quietMs >= suspendAfterMs)).toBe(true)
          expect(suspended.at(-1)?.toSorted()).toEqual([...awaited].toSorted())
          isOver = true
        } else if (!isOver && onlyWaits) expect(isHurried || quietMs >= suspendAfterMs).toBe(false)
      }
      expect(suspended.length).toBeLessThanOrEqual(1)
    }),
    tries(200),
  )
})
