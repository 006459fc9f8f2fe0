import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { JobLog, ScheduleRecord, ScheduleState } from '@errand/core/ports'
import { workerRef } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const idle: ScheduleState = {
  dueAt: undefined,
  job: 'close-day',
  isDeclared: true,
  declaredBy: undefined,
  body: '{"cron":"30 2 * * *"}',
}
const hourMs = 3_600_000

export function describeSchedules(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('schedules', () => {
    const newName = (): string => `schedule-${randomBytes(5).toString('hex')}`
    const read = async (log: JobLog, name: string): Promise<ScheduleRecord | undefined> =>
      (await log.readSchedules([name])).schedules[0]

    /** Makes schedules, and returns their revisions. */
    const create = async (log: JobLog, ...names: readonly string[]): Promise<readonly number[]> => {
      await log.saveSchedules(names.map((name) => ({ name, after: 0, to: idle })))
      return Promise.all(names.map(async (name) => (await read(log, name))?.revision ?? 0))
    }

    it('a schedule is kept as it was given, and told by name with the time of the log', async () => {
      const on = await scene()
      const [name, other] = [newName(), `it's "the" other ${newName()}`]
      const state = { ...idle, dueAt: 1_800_000_000_123, body: '{"text":"it\'s a \\"body\\" \\\\ ä€"}' }
      expect(
        await on.log.saveSchedules([
          { name, after: 0, to: state },
          { name: other, after: 0, to: { ...idle, isDeclared: false } },
        ]),
      ).toEqual([{ saved: true }, { saved: true }])
      const before = await on.now()
      const revision = expect.any(Number) as number
      const { now, schedules } = await (await on.another()).readSchedules([name, other, newName(), name])
      expect(schedules).toEqual([
        { ...idle, isDeclared: false, name: other, revision, declarerLives: false },
        { ...state, name, revision, declarerLives: false },
      ])
      expect(now).toBeGreaterThanOrEqual(before)
      expect(now).toBeLessThanOrEqual(await on.now())
      const all = (await on.log.readSchedules()).schedules.map((schedule) => schedule.name)
      expect(all).toEqual(all.toSorted())
      expect(all).toEqual(expect.arrayContaining([name, other]))
    })

    it('only who knows the schedule as it stands may change it or remove it', async () => {
      const on = await scene()
      const name = newName()
      const change = async (after: number, to: ScheduleState | undefined): Promise<boolean | undefined> =>
        (await on.log.saveSchedules([{ name, after, to }]))[0]?.saved
      expect(await change(1, idle)).toBe(false)
      expect(await change(0, idle)).toBe(true)
      const first = (await read(on.log, name))?.revision ?? 0
      expect(first).toBeGreaterThan(0)
      expect(await change(0, idle)).toBe(false)
      expect(await change(first + 1, idle)).toBe(false)
      expect(await change(first, { ...idle, body: '{"every":"1m"}' })).toBe(true)
      expect(await change(first, undefined)).toBe(false)
      expect(await read(on.log, name)).toMatchObject({ revision: first + 1, body: '{"every":"1m"}' })
      expect(await change(first + 1, undefined)).toBe(true)
      expect(await read(on.log, name)).toBeUndefined()
      expect(await change(first + 1, undefined)).toBe(false)
    })

    it('who knows a schedule that was removed may not change the next one of that name', async () => {
      const on = await scene()
      const name = newName()
      const [removed = 0] = await create(on.log, name)
      await on.log.saveSchedules([{ name, after: removed, to: undefined }])
      const [made] = await create(on.log, name)
      const job = on.newJob()
      const to = { ...idle, body: '{"every":"1m"}' }
      expect(await on.log.saveSchedules([{ name, after: removed, to, job }])).toEqual([{ saved: false }])
      expect(await on.log.saveSchedules([{ name, after: removed, to: undefined }])).toEqual([
        { saved: false },
      ])
      expect(await read(on.log, name)).toMatchObject({ revision: made, body: idle.body })
      expect(await on.log.get(job.id)).toBeUndefined()
    })

    it('a job comes with the change or not at all, and its neighbours do not matter', async () => {
      const on = await scene()
      const [name, late] = [newName(), newName()]
      const [job, lateJob, delayed] = [on.newJob(), on.newJob(), on.newJob({ due: { delayMs: hourMs } })]
      const [, ...answers] = await on.log.saveSchedules([
        { name: newName(), after: 0, to: idle },
        { name, after: 0, to: idle, job },
        { name: late, after: 7, to: idle, job: lateJob },
        { name: newName(), after: 0, to: idle, job: delayed },
      ])
      expect(answers).toEqual([
        { saved: true, appended: { id: job.id, status: 'added', state: 'ready', ticket: on.ticket(job) } },
        { saved: false },
        { saved: true, appended: { id: delayed.id, status: 'added', state: 'scheduled', ticket: undefined } },
      ])
      expect(await on.log.get(lateJob.id)).toBeUndefined()
      expect((await on.take(await on.worker())).map(({ job: taken }) => taken.id)).toEqual([job.id])
    })

    it('a job that is stored already is a duplicate, and one that cannot be stored is refused alone', async () => {
      const on = await scene()
      const stored = await on.add()
      const damaged = on.newJob({ payload: { codec: 'json', text: '"\ud800"' } })
      const [name, other, third] = [newName(), newName(), newName()]
      const sound = on.newJob()
      const answers = await on.log.saveSchedules([
        { name, after: 0, to: idle, job: { ...sound, id: stored.id } },
        { name: other, after: 0, to: idle, job: damaged },
        { name: third, after: 0, to: idle, job: sound },
      ])
      expect(answers.map(({ saved, appended }) => [saved, appended?.status])).toEqual([
        [true, 'duplicate'],
        [true, 'refused'],
        [true, 'added'],
      ])
      expect(await read(on.log, other)).toMatchObject(idle)
    })

    it('of many processes that tick at the same moment one stores its job', async () => {
      const on = await scene()
      const name = newName()
      const [after = 0] = await create(on.log, name)
      const logs = [on.log, await on.another(), await on.another()]
      const jobs = [...logs, ...logs].map(() => on.newJob())
      const answers = await Promise.all(
        jobs.map((job, index) => logs[index % logs.length]!.saveSchedules([{ name, after, to: idle, job }])),
      )
      expect(answers.flat().filter(({ saved }) => saved)).toHaveLength(1)
      const taken = await on.take(await on.worker())
      expect(taken.map(({ job }) => job.id)).toEqual(
        jobs.flatMap((job, index) => (answers[index]?.[0]?.saved === true ? [job.id] : [])),
      )
    })

    it('changes of the same schedules in another order do not wait for each other', async () => {
      const on = await scene()
      const names = [newName(), newName(), newName(), newName()]
      const first = await create(on.log, ...names)
      const another = await on.another()
      for (let round = 0; round < 5; round += 1) {
        const changes = names.map((name, index) => ({
          name,
          after: first[index]! + round,
          to: idle,
          job: on.newJob(),
        }))
        const [ours, theirs] = await Promise.all([
          on.log.saveSchedules(changes),
          another.saveSchedules(changes.toReversed().map((each) => ({ ...each, job: on.newJob() }))),
        ])
        const saved = ours.map((each, index) => Number(each.saved) + Number(theirs.at(-1 - index)?.saved))
        expect(saved).toEqual([1, 1, 1, 1])
      }
    })

    it('a sweep names those that are due, of those that the worker knows, and when the next one is', async () => {
      const on = await scene()
      const job = `job-${newName()}`
      const [due, later, strange, dynamic, strangeDynamic, never] = Array.from({ length: 6 }, newName) as [
        string,
        string,
        string,
        string,
        string,
        string,
      ]
      const now = await on.now()
      await on.log.saveSchedules([
        { name: due, after: 0, to: { ...idle, dueAt: now - 10 } },
        { name: later, after: 0, to: { ...idle, dueAt: now + hourMs } },
        { name: strange, after: 0, to: { ...idle, dueAt: now - 30 } },
        { name: dynamic, after: 0, to: { ...idle, isDeclared: false, job, dueAt: now - 20 } },
        { name: strangeDynamic, after: 0, to: { ...idle, isDeclared: false, job: newName(), dueAt: now } },
        { name: never, after: 0, to: { ...idle, isDeclared: false, job } },
      ])
      const schedules = { names: [due, later, never, dynamic], jobs: [job] }
      expect((await on.sweep({ schedules })).schedules).toEqual([dynamic, due])
      expect((await on.sweep()).schedules).toEqual([])
      expect((await on.sweep({ schedules: { names: [], jobs: [idle.job] } })).schedules).toEqual([])
      expect((await on.sweep({ schedules, limit: 1 })).schedules).toEqual([dynamic])

      const [dueNow, dynamicNow] = [await read(on.log, due), await read(on.log, dynamic)]
      await on.log.saveSchedules([
        { name: due, after: dueNow?.revision ?? 0, to: { ...idle, dueAt: now + hourMs / 2 } },
        { name: dynamic, after: dynamicNow?.revision ?? 0, to: undefined },
      ])
      const { schedules: none, nextDueInMs } = await on.sweep({ schedules })
      expect(none).toEqual([])
      expect(nextDueInMs).toBeGreaterThan(hourMs / 4)
      expect(nextDueInMs).toBeLessThanOrEqual(hourMs / 2)
    })

    it('tells whether the worker that declared it lives', async () => {
      const on = await scene()
      const [name, lost] = [newName(), newName()]
      const worker = await on.worker()
      await on.log.saveSchedules([
        { name, after: 0, to: { ...idle, declaredBy: worker.id } },
        { name: lost, after: 0, to: { ...idle, declaredBy: workerRef().id } },
      ])
      expect(await read(on.log, name)).toMatchObject({ declaredBy: worker.id, declarerLives: true })
      expect((await read(on.log, lost))?.declarerLives).toBe(false)
      await on.log.leave(worker)
      expect((await read(on.log, name))?.declarerLives).toBe(false)
    })
  })
}
