import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { checkId } from '../../src/ids.ts'
import { findJitter, makeTickId } from '../../src/schedule/tick.ts'

const uid = '0199f2a4-6c1e-7b3a-9c55-2f6c1d0e8a77'
const at = Date.parse('2027-03-28T01:00:00Z')

it('a tick has the same id in every process, and each tick of each schedule its own', () => {
  const ids = [0, 1, 2, 3].map((hour) => makeTickId(uid, at + hour * 3_600_000))
  expect(ids).toEqual([0, 1, 2, 3].map((hour) => makeTickId(uid, at + hour * 3_600_000)))
  expect(new Set([...ids, makeTickId(randomUUID(), at)]).size).toBe(5)
  // As they were made by the first build: another one must not store its tick once more.
  expect(ids[0]).toBe('01a489a5-aa80-8eeb-8f7a-c17953ad6bb1')
})

it('its id is a UUID, and sorts by the moment of the tick beside those of other jobs', () => {
  const ids = [at - 1, at, at + 1].map((each) => makeTickId(uid, each))
  expect(ids.map(checkId)).toEqual(ids)
  expect(ids.toSorted()).toEqual(ids)
})

it('its jitter is the same in every process, below its bound, and spread over it', () => {
  const found = Array.from({ length: 1_000 }, (_, tick) => findJitter(uid, at + tick * 60_000, 10_000))
  expect(found).toEqual(
    Array.from({ length: 1_000 }, (_, tick) => findJitter(uid, at + tick * 60_000, 10_000)),
  )
  expect(Math.max(...found)).toBeLessThan(10_000)
  // Each tenth has about a hundred of them.
  for (let tenth = 0; tenth < 10; tenth += 1)
    expect(found.filter((ms) => Math.floor(ms / 1_000) === tenth).length).toBeGreaterThan(60)
  expect(findJitter(uid, at, 0)).toBe(0)
})
