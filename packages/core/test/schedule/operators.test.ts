import { expect, test } from 'vitest'
import { handle } from '../../src/index.ts'
import { eventually } from '../worker/stage.ts'
import { chore, closeDay, hourMs, hourly, moments, scene } from './scene.ts'

test('a paused schedule misses nothing: it goes on from where it is resumed', async () => {
  await using on = scene()
  await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.clock.advance(1.5 * hourMs)
  await on.errand.schedules.pause('hourly', { by: 'ada', reason: 'the bank is closed' })
  await on.clock.advance(5 * hourMs)
  const paused = await on.errand.schedules.get('hourly')
  expect(paused).toMatchObject({ pausedBy: 'ada', next: undefined })
  await on.errand.schedules.resume('hourly', 'ben')
  await on.clock.advance(hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(2))
  expect(moments(on.ticks)).toEqual(['2026-01-01T01:00', '2026-01-01T07:00'])
  const resumed = await on.errand.schedules.get('hourly')
  expect(resumed).toMatchObject({ pausedBy: undefined, leftOut: 0 })
  expect(resumed?.acts).toMatchObject([
    { what: 'paused', by: 'ada', reason: 'the bank is closed' },
    { what: 'resumed', by: 'ben' },
  ])
})

test('a trigger dispatches the job once more, also while the schedule is paused', async () => {
  await using on = scene()
  await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.clock.advance(1_000)
  await on.errand.schedules.pause('hourly', 'ada')
  await on.errand.schedules.trigger('hourly', 'ada')
  await on.errand.schedules.trigger('hourly', 'ada')
  await on.clock.advance(10_000)
  await eventually(() => expect(on.ticks).toHaveLength(2))
  expect(moments(on.ticks)).toEqual(['2026-01-01T00:00', '2026-01-01T00:00'])
  await on.errand.schedules.resume('hourly', 'ada')
  await on.clock.advance(hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(3))
})

test('a schedule that is set at run time is ticked by workers that know its job, with its payload', async () => {
  await using on = scene()
  const days: string[] = []
  await on.work({ handlers: [on.note, handle(closeDay, ({ day }) => void days.push(day))] })
  const set = (day: string, every: '1h' | '2h'): Promise<void> =>
    on.errand.schedules.set({ name: 'tenant-7', job: closeDay, every, payload: { day } }, 'a test')
  await set('first', '1h')
  await on.clock.advance(1.5 * hourMs)
  await eventually(() => expect(days).toEqual(['first']))
  // The same times again: the payload changes, and the next tick stays where it was.
  await set('second', '1h')
  expect((await on.errand.schedules.get('tenant-7'))?.next).toEqual(new Date('2026-01-01T02:00:00Z'))
  await on.clock.advance(hourMs)
  await eventually(() => expect(days).toEqual(['first', 'second']))
  await set('third', '2h')
  expect(await on.errand.schedules.next('tenant-7', { count: 2 })).toEqual([
    new Date('2026-01-01T04:00:00Z'),
    new Date('2026-01-01T06:00:00Z'),
  ])
  expect(await on.errand.schedules.remove('tenant-7')).toBe(true)
  expect(await on.errand.schedules.remove('tenant-7')).toBe(false)
  await on.clock.advance(5 * hourMs)
  expect(days).toEqual(['first', 'second'])
})

test('one that was set at run time goes before one of the code with its name, and the worker says so once', async () => {
  await using on = scene()
  await on.errand.schedules.set({ name: 'hourly', job: chore, every: '2h' }, 'ada')
  await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.clock.advance(2.5 * hourMs)
  await eventually(() => expect(moments(on.ticks)).toEqual(['2026-01-01T02:00']))
  expect(on.lines.filter(({ message }) => message?.includes('set at run time') === true)).toHaveLength(1)
  await on.errand.schedules.remove('hourly')
  await on.clock.advance(hourMs)
  await eventually(() => expect(moments(on.ticks)).toEqual(['2026-01-01T02:00', '2026-01-01T03:00']))
  const claimed = on.errand.schedules.set({ name: 'hourly', job: chore, every: '2h' }, 'ada')
  await expect(claimed).rejects.toThrow('is declared by the code of workers')
})
