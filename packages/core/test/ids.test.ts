import { expect, test } from 'vitest'
import { checkId, idMaker } from '../src/ids.ts'
import { systemClock } from '../src/ports/system-clock.ts'
import { virtualClock } from '../src/testing.ts'
import { catchRefusal } from './catch-refusal.ts'

const version7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('ids are UUIDs of version 7 that carry their time', () => {
  const clock = virtualClock(Date.UTC(2026, 4, 1))
  const id = idMaker(clock)()
  expect(id).toMatch(version7)
  expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(clock.now())
})

test('ids sort as they were made, also ten thousand in one millisecond', () => {
  const newId = idMaker(virtualClock())
  const ids = Array.from({ length: 10_000 }, newId)
  expect(ids.toSorted()).toEqual(ids)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.every((id) => version7.test(id))).toBe(true)
})

test('a clock that is set back does not repeat an id or break their order', () => {
  let now = 10_000
  const newId = idMaker({ ...systemClock, now: () => now })
  const first = newId()
  now = 5_000
  expect(newId() > first).toBe(true)
})

test('any UUID is an id, in lower case; nothing else is', async () => {
  expect(checkId('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')).toBe('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')
  for (const id of ['', '7', 'a0eebc99', 7, undefined, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1z']) {
    expect(await catchRefusal(() => checkId(id))).toMatchObject({ code: 'E_ID' })
  }
})
