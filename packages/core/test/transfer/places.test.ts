import { expect, test } from 'vitest'
import type { Transfer } from '../../src/ports/transfer.ts'
import { urlIn } from '../../src/config/env-url.ts'
import { describePlace, driversInUse } from '../../src/transfer/places.ts'
import { catchRefusal } from '../catch-refusal.ts'

const open = (): never => {
  throw new Error('not opened here')
}
const at = (place: string, url?: string): Transfer['to'] => ({ place, url })

function moving(over: Partial<Transfer> = {}): Transfer {
  const from = at('a')
  return { revision: 1, phase: 'moving', from, to: at('b', 'url:b'), left: ['a'], by: 'mia', at: 0, ...over }
}

test('a place is the name and what is reached; a driver without one is known by its name', () => {
  expect(describePlace({ errand: 'driver', name: 'rabbitmq', place: 'amqp://h:5672/?prefix=x', open })).toBe(
    'rabbitmq amqp://h:5672/?prefix=x',
  )
  expect(describePlace({ errand: 'driver', name: 'database', open })).toBe('database')
})

test('without a record every process uses its own driver', () => {
  expect(driversInUse('a', undefined)).toEqual({ current: at('a'), old: undefined })
})

test.each([
  { who: 'configured with the old driver', configured: 'a', current: 'b', old: 'a' },
  { who: 'configured with one that was left before', configured: 'z', current: 'b', old: undefined },
  { who: 'configured with the new one already', configured: 'b', current: 'b', old: undefined },
  { who: 'configured with another one', configured: 'c', current: 'c', old: undefined },
])('while the system moves, a process $who', ({ configured, current, old }) => {
  const inUse = driversInUse(configured, moving({ left: ['a', 'z'] }))
  expect(inUse.current.place).toBe(current)
  expect(inUse.old?.place).toBe(old)
})

test('the old driver is served by everybody who can reach it, and by nobody once the system has moved', () => {
  const known = moving({ from: at('a', 'url:a'), left: ['a', 'z'] })
  for (const configured of ['a', 'b', 'z']) {
    expect(driversInUse(configured, known).old?.place).toBe('a')
    expect(driversInUse(configured, { ...known, phase: 'moved' })).toMatchObject({
      current: { place: 'b' },
      old: undefined,
    })
  }
})

test('env:NAME is the variable of this process; anything else is the URL itself', async () => {
  expect(urlIn('env:NEXT', { NEXT: 'amqp://h' })).toBe('amqp://h')
  expect(urlIn('amqp://h', {})).toBe('amqp://h')
  for (const env of [{}, { NEXT: '' }]) {
    expect(await catchRefusal(() => urlIn('env:NEXT', env))).toMatchObject({ code: 'E_CONFIG' })
  }
})
