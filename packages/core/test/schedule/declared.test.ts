import { expect, test } from 'vitest'
import { defineJob, defineSchedule } from '../../src/index.ts'
import type { ScheduleDefinition } from '../../src/index.ts'
import { eventually } from '../worker/stage.ts'
import { chore, hourMs, hourly, moments, scene } from './scene.ts'

test('of two versions the one that started last applies, as long as one of its workers lives', async () => {
  await using on = scene()
  const version = (every: '1h' | '2h'): ScheduleDefinition =>
    defineSchedule({ name: 'changing', job: chore, every })
  const times = async (): Promise<string | undefined> => (await on.errand.schedules.get('changing'))?.times
  await on.work({ handlers: [on.note], schedules: [version('1h')] })
  await on.clock.advance(1_000)
  expect(await times()).toBe('every 1h')
  const newer = await on.work({ handlers: [on.note], schedules: [version('2h')] })
  await on.clock.advance(120_000)
  expect(await times()).toBe('every 2h')
  await on.stop(newer)
  await on.clock.advance(120_000)
  expect(await times()).toBe('every 1h')
})

test('a tick that was missed is not lost when the next version changes all but the times', async () => {
  await using on = scene()
  const version = (more: { readonly overlap?: 'skip'; readonly jitter?: '1s' }): ScheduleDefinition =>
    defineSchedule({ name: 'changing', job: chore, every: '1h', ...more })
  const first = await on.work({ handlers: [on.note], schedules: [version({})] })
  await on.errand.schedules.set({ name: 'set', job: chore, every: '1h' }, 'a test')
  await on.clock.advance(0.5 * hourMs)
  await on.stop(first)
  await on.clock.advance(hourMs)
  await on.errand.schedules.set({ name: 'set', job: chore, every: '1h', overlap: 'skip' }, 'a test')
  await on.work({ handlers: [on.note], schedules: [version({ overlap: 'skip', jitter: '1s' })] })
  await on.clock.advance(60_000)
  await eventually(() => expect(on.ticks).toHaveLength(2))
  expect(moments(on.ticks)).toEqual(['2026-01-01T01:00', '2026-01-01T01:00'])
  expect(await on.errand.schedules.list()).toMatchObject([
    { name: 'changing', overlap: 'skip', jitterMs: 1_000 },
    { name: 'set', overlap: 'skip' },
  ])
})

test('what is no longer declared by any worker is dormant, and does not tick', async () => {
  await using on = scene()
  const first = await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.clock.advance(1_000)
  await on.stop(first)
  await on.work({ handlers: [on.note] })
  await on.clock.advance(3 * hourMs)
  expect(on.ticks).toEqual([])
  expect(await on.errand.schedules.get('hourly')).toMatchObject({ dormant: true, from: 'code' })
})

test('prune removes what no worker has declared for a month, and leaves what was set at run time', async () => {
  await using on = scene()
  const set = defineJob({ name: 'set' })
  const worker = await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.errand.schedules.set({ name: 'at-run-time', job: set, every: '30d' }, 'ada')
  await on.clock.advance(1_000)
  await on.stop(worker)
  const names = async (): Promise<readonly string[]> =>
    (await on.errand.schedules.list()).map(({ name }) => name)
  await on.clock.advance(29 * 24 * hourMs)
  await on.errand.jobs.prune()
  expect(await names()).toEqual(['at-run-time', 'hourly'])
  await on.clock.advance(2 * 24 * hourMs)
  await on.errand.jobs.prune()
  expect(await names()).toEqual(['at-run-time'])
})
