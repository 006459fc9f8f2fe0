import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, defineSchedule, handle } from '../../src/index.ts'
import type { JobHandler, ScheduleDefinition, Tick } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, hold, stage } from '../worker/stage.ts'
import type { Stage } from '../worker/stage.ts'

const hourMs = 3_600_000
const closeDay = defineJob({ name: 'close-day', payload: z.object({ day: z.string() }) })
const chore = defineJob({ name: 'chore', timeout: '9h' })

const closeDays = defineSchedule({
  name: 'close-days',
  job: closeDay,
  cron: '30 2,4 * * *',
  zone: 'Europe/Berlin',
  payload: ({ at }) => ({ day: at.toISOString().slice(0, 13) }),
})
const hourly = defineSchedule({ name: 'hourly', job: chore, every: '1h' })

interface Scene extends Stage {
  readonly clock: VirtualClock
  /** The ticks of the jobs that ran, in order. */
  readonly ticks: (Tick | undefined)[]
  /** Handles chores by noting their ticks. */
  readonly note: JobHandler
}

function scene(): Scene {
  const clock = virtualClock()
  const ticks: (Tick | undefined)[] = []
  const note = handle(chore, (_, { tick }) => void ticks.push(tick))
  return Object.assign(stage({ clock }), { clock, ticks, note })
}

const moments = (ticks: readonly (Tick | undefined)[]): (string | undefined)[] =>
  ticks.map((tick) => tick?.at.toISOString().slice(0, 16))

describe('schedules', () => {
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
    const stopped = first.stop()
    await on.clock.advance(0)
    await stopped
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

  test('a payload that cannot be made leaves its tick out, says why, and stops no other schedule', async () => {
    await using on = scene()
    let isBroken = true
    const broken = defineSchedule({
      name: 'broken',
      job: closeDay,
      every: '1h',
      payload: () => {
        if (isBroken) throw new Error('no calendar')
        return { day: 'monday' }
      },
    })
    const misfit = defineSchedule({
      name: 'misfit',
      job: closeDay,
      every: '1h',
      payload: () => ({ day: 7 as unknown as string }),
    })
    const days: string[] = []
    await on.work({
      handlers: [on.note, handle(closeDay, ({ day }) => void days.push(day))],
      schedules: [broken, misfit, hourly],
    })
    await on.clock.advance(2.5 * hourMs)
    await eventually(() => expect(on.ticks).toHaveLength(2))
    const info = await on.errand.schedules.get('broken')
    expect(info).toMatchObject({
      leftOut: 2,
      trouble: { error: expect.stringContaining('no calendar') as string },
    })
    expect((await on.errand.schedules.get('misfit'))?.trouble?.error).toContain('does not fit')
    expect(on.lines.filter(({ message }) => message?.includes('was left out') === true)).toHaveLength(4)
    isBroken = false
    await on.clock.advance(hourMs)
    await eventually(() => expect(days).toEqual(['monday']))
    expect((await on.errand.schedules.get('broken'))?.trouble).toBeUndefined()
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
    const stopped = newer.stop()
    await on.clock.advance(0)
    await stopped
    await on.clock.advance(120_000)
    expect(await times()).toBe('every 1h')
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

  test('a tick that was missed is not lost when the next version changes all but the times', async () => {
    await using on = scene()
    const version = (more: { readonly overlap?: 'skip'; readonly jitter?: '1s' }): ScheduleDefinition =>
      defineSchedule({ name: 'changing', job: chore, every: '1h', ...more })
    const first = await on.work({ handlers: [on.note], schedules: [version({})] })
    await on.errand.schedules.set({ name: 'set', job: chore, every: '1h' }, 'a test')
    await on.clock.advance(0.5 * hourMs)
    const stopped = first.stop()
    await on.clock.advance(0)
    await stopped
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
    const stopped = first.stop()
    await on.clock.advance(0)
    await stopped
    await on.work({ handlers: [on.note] })
    await on.clock.advance(3 * hourMs)
    expect(on.ticks).toEqual([])
    expect(await on.errand.schedules.get('hourly')).toMatchObject({ dormant: true, from: 'code' })
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

  test('a row that another program has spoilt stops no other schedule', async () => {
    await using on = scene()
    const spoil = (name: string, body: unknown): Promise<unknown> =>
      on.log.saveSchedules([
        {
          name,
          after: 0,
          to: {
            dueAt: 1,
            job: 'chore',
            isDeclared: false,
            declaredBy: undefined,
            body: JSON.stringify(body),
          },
        },
      ])
    const rules = { times: { kind: 'cron', cron: 'at noon', zone: 'UTC' }, missed: 'last', jitterMs: 0 }
    await spoil('spoilt', { uid: 7 })
    await spoil('no-cron', { uid: 'u', rules, nextAt: 1, leftOut: 0, triggers: 0, triggered: 0, acts: [] })
    await on.work({ handlers: [on.note], schedules: [hourly] })
    await on.clock.advance(1.5 * hourMs)
    await eventually(() => expect(on.ticks).toHaveLength(1))
    expect(on.lines.filter(({ message }) => message === 'a schedule cannot be read').length).toBeLessThan(5)
    expect(await on.errand.schedules.get('no-cron')).toMatchObject({
      next: undefined,
      trouble: { error: expect.stringContaining('at noon') as string },
    })
  })

  test('prune removes what no worker has declared for a month, and leaves what was set at run time', async () => {
    await using on = scene()
    const set = defineJob({ name: 'set' })
    const worker = await on.work({ handlers: [on.note], schedules: [hourly] })
    await on.errand.schedules.set({ name: 'at-run-time', job: set, every: '30d' }, 'ada')
    await on.clock.advance(1_000)
    const stopped = worker.stop()
    await on.clock.advance(0)
    await stopped
    const names = async (): Promise<readonly string[]> =>
      (await on.errand.schedules.list()).map(({ name }) => name)
    await on.clock.advance(29 * 24 * hourMs)
    await on.errand.jobs.prune()
    expect(await names()).toEqual(['at-run-time', 'hourly'])
    await on.clock.advance(2 * 24 * hourMs)
    await on.errand.jobs.prune()
    expect(await names()).toEqual(['at-run-time'])
  })

  test('doctor names schedules that fail, are paused, or have nobody who ticks them', async () => {
    await using on = scene()
    const broken = defineSchedule({
      name: 'broken',
      job: closeDay,
      every: '1h',
      payload: () => {
        throw new Error('no calendar')
      },
    })
    const gone = await on.work({ handlers: [on.note], schedules: [hourly] })
    await on.clock.advance(1_000)
    const stopped = gone.stop()
    await on.clock.advance(0)
    await stopped
    await on.work({ handlers: [handle(closeDay, () => undefined)], schedules: [broken, closeDays] })
    await on.errand.schedules.set({ name: 'unknown-job', job: chore, every: '1h' }, 'ada')
    await on.clock.advance(1.5 * hourMs)
    await on.errand.schedules.pause('close-days', 'ada')
    const { findings } = await on.errand.doctor()
    expect(findings.filter(({ code }) => code.startsWith('schedule-'))).toEqual([
      {
        severity: 'error',
        code: 'schedule-failing',
        message:
          'the last tick of schedule broken was left out: payload() of schedule broken threw: no calendar',
      },
      {
        severity: 'error',
        code: 'schedule-late',
        message: expect.stringMatching(
          /^schedule unknown-job has been due for 180\d s: no live worker handles chore$/,
        ) as string,
      },
      { severity: 'info', code: 'schedule-paused', message: 'schedule close-days is paused by ada' },
      {
        severity: 'info',
        code: 'schedule-dormant',
        message: 'schedule hourly does not tick: no live worker declares it any more',
      },
    ])
  })
})
