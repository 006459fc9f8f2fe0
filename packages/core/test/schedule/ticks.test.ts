import { expect, test } from 'vitest'
import { defineJob, defineSchedule, handle } from '../../src/index.ts'
import { eventually, hold } from '../worker/stage.ts'
import { chore, closeDay, closeDays, hourMs, hourly, scene } from './scene.ts'

test('each tick dispatches its job once, with what the tick says, however many workers declare it', async () => {
  await using on = scene()
  const seen: unknown[] = []
  const handlers = [handle(closeDay, (payload, { tick, job }) => void seen.push([payload, tick, job.meta]))]
  for (let worker = 1; worker <= 3; worker += 1) await on.work({ handlers, schedules: [closeDays] })
  await on.clock.advance(4 * hourMs)
  await eventually(() => expect(seen).toHaveLength(2))
  const at = [new Date('2026-01-01T01:30:00Z'), new Date('2026-01-01T03:30:00Z')]
  expect(seen).toEqual([
    [{ day: '2026-01-01T01' }, { schedule: 'close-days', at: at[0], previous: undefined, missed: 0 }, {}],
    [{ day: '2026-01-01T03' }, { schedule: 'close-days', at: at[1], previous: at[0], missed: 0 }, {}],
  ])
  expect(await on.errand.schedules.list()).toMatchObject([
    {
      name: 'close-days',
      job: 'close-day',
      times: '30 2,4 * * * Europe/Berlin',
      from: 'code',
      dormant: false,
      leftOut: 0,
    },
  ])
  expect((await on.errand.schedules.get('close-days'))?.next).toEqual(new Date('2026-01-02T01:30:00Z'))
})

test('after an outage the newest missed tick runs late, or none of them, as the schedule says', async () => {
  await using on = scene()
  const skipping = defineSchedule({ name: 'skipping', job: chore, every: '1h', missed: 'skip' })
  const schedules = [hourly, skipping]
  const first = await on.work({ handlers: [on.note], schedules })
  await on.clock.advance(1.5 * hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(2))
  await on.stop(first)
  await on.clock.advance(5 * hourMs)
  expect(on.ticks).toHaveLength(2)
  await on.work({ handlers: [on.note], schedules })
  await on.clock.advance(0.6 * hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(5))
  const later = on.ticks.slice(2).toSorted((a, b) => Number(a?.at) - Number(b?.at))
  expect(later.map((tick) => [tick?.schedule, tick?.at.getUTCHours(), tick?.missed])).toEqual([
    ['hourly', 6, 4],
    ['hourly', 7, 0],
    ['skipping', 7, 0],
  ])
  const [ran, skipped] = await on.errand.schedules.list()
  expect([ran?.leftOut, skipped?.leftOut]).toEqual([4, 5])
})

test('a tick whose predecessor still runs is left out, or dispatched all the same', async () => {
  await using on = scene()
  const held = hold()
  const alone = defineSchedule({ name: 'alone', job: chore, every: '1h', overlap: 'skip' })
  await on.work({
    handlers: [
      handle(chore, async (_, { tick }) => {
        on.ticks.push(tick)
        await held.promise
      }),
    ],
    schedules: [alone, hourly],
  })
  await on.clock.advance(3.5 * hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(4))
  expect(on.ticks.filter((tick) => tick?.schedule === 'alone')).toHaveLength(1)
  expect((await on.errand.schedules.get('alone'))?.leftOut).toBe(2)
  held.resolve()
  await eventually(async () => {
    const { lastJob = '' } = (await on.errand.schedules.get('alone')) ?? {}
    expect((await on.history(lastJob)).at(-1)).toBe('succeeded')
  })
  await on.clock.advance(hourMs)
  await eventually(() => expect(on.ticks.filter((tick) => tick?.schedule === 'alone')).toHaveLength(2))
})

test('a tick that meets a job of its unique key is left out, and that job counts as its predecessor', async () => {
  await using on = scene()
  const single = defineJob({ name: 'single', timeout: '9h', unique: { key: () => 'one' } })
  const held = hold()
  const often = defineSchedule({ name: 'often', job: single, every: '1h', overlap: 'skip' })
  await on.work({ handlers: [handle(single, () => held.promise)], schedules: [often] })
  const { id } = await on.errand.dispatch(single)
  await on.clock.advance(1.5 * hourMs)
  expect(await on.errand.schedules.get('often')).toMatchObject({ leftOut: 1, lastJob: id })
  await on.clock.advance(hourMs)
  expect(await on.errand.schedules.get('often')).toMatchObject({ leftOut: 2, lastJob: id })
  held.resolve()
  await on.until(id, 'succeeded')
  await on.clock.advance(hourMs)
  const { leftOut, lastJob = '' } = (await on.errand.schedules.get('often')) ?? {}
  expect(leftOut).toBe(2)
  await on.until(lastJob, 'succeeded')
})

test('jitter makes a tick late by the same time in every process, and its moment stays', async () => {
  await using on = scene()
  const late: number[] = []
  const jittery = defineSchedule({ name: 'jittery', job: chore, every: '1h', jitter: '30m' })
  await on.work({
    handlers: [
      handle(chore, (_, { tick }) => {
        expect(tick?.at.getUTCMinutes()).toBe(0)
        late.push(on.clock.now() - Number(tick?.at))
      }),
    ],
    schedules: [jittery],
  })
  await on.clock.advance(8 * hourMs)
  await eventually(() => expect(late.length).toBeGreaterThanOrEqual(7))
  for (const ms of late) expect(ms).toBeLessThan(hourMs / 2 + 60_000)
  expect(new Set(late.map((ms) => Math.floor(ms / 60_000))).size).toBeGreaterThan(2)
})

test('a schedule that comes once comes once, and none comes after its end', async () => {
  await using on = scene()
  const once = defineSchedule({ name: 'once', job: chore, at: new Date('2026-01-01T02:00:00Z') })
  const ending = defineSchedule({
    name: 'ending',
    job: chore,
    every: '1h',
    until: new Date('2026-01-01T02:59:00Z'),
  })
  await on.work({ handlers: [on.note], schedules: [once, ending] })
  await on.clock.advance(6 * hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(3))
  expect((await on.errand.schedules.list()).map(({ next }) => next)).toEqual([undefined, undefined])
})

test('children of a tick do not look like ticks', async () => {
  await using on = scene()
  const child = defineJob({ name: 'child' })
  const parent = defineJob({ name: 'parent' })
  await on.work({
    handlers: [
      handle(parent, async (_, ctx) => void (await ctx.dispatch(child))),
      handle(child, (_, { tick, job }) => {
        expect(job.meta).toEqual({ tenant: '7' })
        on.ticks.push(tick)
      }),
    ],
    schedules: [
      defineSchedule({ name: 'parents', job: parent, every: '1h', options: { meta: { tenant: '7' } } }),
    ],
  })
  await on.clock.advance(1.5 * hourMs)
  await eventually(() => expect(on.ticks).toEqual([undefined]))
})
