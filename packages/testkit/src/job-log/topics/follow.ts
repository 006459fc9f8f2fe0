import { describe, expect, it, onTestFinished } from 'vitest'
import type { EventRecord, ReadOptions } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import { readHistory } from '../../history/read.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

/** Reads until enough events are shown. A log may show an event only when every older transaction has ended. */
const shown = (on: Scene, options: Omit<ReadOptions, 'limit'>, count: number) =>
  on.until(async () => {
    const page = await on.log.read({ limit: 1_000, ...options })
    return page.events.length >= count && page
  }, `${count} events are shown`)

/** Waits until the log shows everything that has happened so far. */
const caughtUp = async (on: Scene): Promise<void> => {
  const after = await on.log.end()
  const { queue } = await on.add({ queue: on.newQueue() })
  await shown(on, { after, queue }, 1)
}

/** Compares without cursors: a cursor may also say how far its reader had read. */
const told = (events: readonly EventRecord[]) => events.map((event) => ({ ...event, cursor: undefined }))

const brief = (events: readonly EventRecord[]) =>
  events.map(({ jobId, version, type }) => [jobId, version, type])

export function describeFollow(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)

  describe('following events', () => {
    it('all events of all jobs can be read from the beginning, in pages, each once', async () => {
      const on = await fresh()
      const worker = await on.worker()
      const jobs = [
        await on.ended(outcomes.succeed(), {}, worker),
        await on.ended(outcomes.exhaust(), {}, worker),
        await on.add(),
      ]
      const whole = await shown(on, {}, 3 + 4 + 1)
      expect(new Set(whole.events.map(({ jobId }) => jobId))).toEqual(new Set(jobs.map(({ id }) => id)))
      expect(whole.events).toHaveLength(3 + 4 + 1)
      for (const limit of [1, 2, 3, 7, 8]) {
        expect(told(await readHistory(on.log, { limit }))).toEqual(told(whole.events))
      }
    })

    it('an event is the same, whichever way it is read', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.exhaust(), { tags: ['blue'] })
      const events = await on.events(job)
      const followed = await shown(on, { job: job.id }, events.length)
      expect(told(followed.events)).toEqual(told(events))
    })

    it.runIf(harness.capabilities.transactions === 'row-locks')(
      'the events of one job can be read at once, whatever transaction is open: no page ends with a hole',
      async () => {
        const on = await scene()
        const open = await on.begin()
        onTestFinished(() => open.rollback())
        await on.log.append([on.newJob()], { tx: open.tx })
        const job = await on.ended(outcomes.exhaust())
        const events = await on.events(job)
        expect(events.map(({ type }) => type)).toEqual(['dispatched', 'started', 'errored', 'failed'])
        expect(told((await on.log.read({ job: job.id, limit: 100 })).events)).toEqual(told(events))
        for (const [index, { cursor }] of events.entries()) {
          const { events: rest } = await on.log.read({ after: cursor, job: job.id, limit: 100 })
          expect(told(rest)).toEqual(told(events.slice(index + 1)))
        }
      },
    )

    it('following from now on sees what comes, and not what was', async () => {
      const on = await scene()
      await on.ended(outcomes.succeed())
      await caughtUp(on)
      const cursor = await on.log.end()
      const { queue } = on
      const nothing = await on.log.read({ after: cursor, limit: 10, queue })
      expect(nothing.events).toEqual([])
      const job = await on.ended(outcomes.succeed())
      const { events } = await shown(on, { after: nothing.next, queue }, 3)
      expect(brief(events)).toEqual([
        [job.id, 1, 'dispatched'],
        [job.id, 2, 'started'],
        [job.id, 3, 'succeeded'],
      ])
    })

    it('an empty log has no events, an end, and a place to go on from', async () => {
      const on = await fresh()
      const { events, next } = await on.log.read({ limit: 10 })
      expect(events).toEqual([])
      const cursor = await on.log.end()
      const job = await on.add()
      for (const after of [next, cursor]) {
        expect(brief((await shown(on, { after }, 1)).events)).toEqual([[job.id, 1, 'dispatched']])
      }
    })

    it('following can go on after any event, in another process as well', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.exhaust())
      const elsewhere = await on.another()
      const events = await on.events(job)
      await caughtUp(on)
      for (const [index, { cursor }] of events.entries()) {
        const { events: rest } = await elsewhere.read({ after: cursor, job: job.id, limit: 100 })
        expect(brief(rest)).toEqual(brief(events.slice(index + 1)))
      }
    })

    it('events can be followed by job, by queue and by tag', async () => {
      const on = await scene()
      const other = on.newQueue()
      const [blue, round] = [`blue-${on.queue}`, `round-${on.queue}`]
      const from = await on.log.end()
      const [plain, tagged, elsewhere] = await on.addAll([
        {},
        { tags: [blue, round] },
        { queue: other, tags: [round] },
      ])
      await on.finish(await on.worker(), plain!)
      await caughtUp(on)
      const seen = async (filter: object) => {
        const { events } = await on.log.read({ after: from, limit: 100, ...filter })
        return events.map(({ jobId, type }) => [jobId, type])
      }
      expect(await seen({ job: plain!.id })).toEqual([
        [plain?.id, 'dispatched'],
        [plain?.id, 'started'],
        [plain?.id, 'succeeded'],
      ])
      expect(await seen({ queue: other })).toEqual([[elsewhere?.id, 'dispatched']])
      expect(await seen({ tag: blue })).toEqual([[tagged?.id, 'dispatched']])
      expect(await seen({ tag: round })).toEqual([
        [tagged?.id, 'dispatched'],
        [elsewhere?.id, 'dispatched'],
      ])
    })

    it('a filter that lets nothing through still goes on: the next read does not begin at the start', async () => {
      const on = await scene()
      await on.addAll(Array.from({ length: 5 }, () => ({})))
      const tag = `nobody-${on.queue}`
      const first = await on.log.read({ tag, limit: 2 })
      expect(first.events).toEqual([])
      const late = await on.add({ tags: [tag] })
      const all: EventRecord[] = []
      await on.until(async () => {
        const { events, next } = await on.log.read({ after: first.next, tag, limit: 2 })
        all.push(...events)
        return events.length > 0 && next
      })
      expect(brief(all)).toEqual([[late.id, 1, 'dispatched']])
    })

    it('events keep the queue and tags of their moment', async () => {
      const on = await scene()
      const other = on.newQueue()
      const job = await on.add()
      await on.log.change(job.id, { queue: other }, { by: 'ada' })
      expect((await on.events(job)).map(({ type, queue }) => [type, queue])).toEqual([
        ['dispatched', on.queue],
        ['changed', other],
      ])
    })

    it('a reader sees every event once while many write', async () => {
      const on = await scene()
      const total = 60
      const logs = [on.log, await on.another(), await on.another()]
      const worker = await on.worker()
      let writing = true
      const write = async (log: typeof on.log) => {
        for (let count = 0; count < total / 3; count += 1) {
          const job = on.newJob()
          await log.append([job])
          const claim = await on.claim(worker, job)
          await log.settle(
            [{ id: job.id, run: claim.run, durationMs: 1, outcome: outcomes.succeed() }],
            worker,
          )
        }
      }
      const seen: EventRecord[] = []
      const follow = async () => {
        let cursor: string | undefined
        await on.until(async () => {
          // Checked before the read, so that the last read comes after the last write.
          const last = !writing
          const { events, next } = await on.log.read({ limit: 7, queue: on.queue, after: cursor })
          seen.push(...events)
          cursor = next
          return last && events.length === 0 && seen.length >= total * 3
        }, 'the reader has seen every event')
      }
      await Promise.all([
        follow(),
        Promise.all(logs.map(write)).finally(() => {
          writing = false
        }),
      ])
      const keys = seen.map(({ jobId, version }) => `${jobId}/${version}`)
      expect(new Set(keys).size).toBe(keys.length)
      expect(keys).toHaveLength(total * 3)
    })

    it('comparing cursors agrees with what is read after them', async ({ skip }) => {
      const on = await fresh()
      const { places } = on.log
      skip(!places, 'this log compares no cursors: each follower reads for itself')
      if (!places) throw new Error('skipped')
      const cursors = [await on.log.end()]
      const note = async (): Promise<void> => void cursors.push(await on.log.end())
      // Some events are written before others, and can be read only after them.
      const open = harness.capabilities.transactions === 'row-locks' ? await on.begin() : undefined
      if (open) await on.log.append([on.newJob()], { tx: open.tx })
      await on.addAll([{}, {}, {}])
      await note()
      await on.ended(outcomes.succeed())
      await note()
      await open?.commit()
      await on.addAll([{}, {}])
      await note()
      const { events } = await shown(on, {}, open ? 9 : 8)
      cursors.push(...events.map(({ cursor }) => cursor))
      const order = brief(events).map(String)
      const read = async (after: string) =>
        brief((await on.log.read({ after, limit: 100 })).events).map(String)

      for (const after of cursors) {
        const given = await read(after)
        const found = events.filter(({ cursor }) => places.isAfter(after, cursor))
        expect(brief(found).map(String)).toEqual(given)
        for (const [index, { cursor }] of events.entries()) {
          const rest = given.filter((event) => order.indexOf(event) > index)
          expect(await read(places.advance(after, cursor))).toEqual(rest)
        }
        for (const other of cursors) {
          const both = await read(places.earliest([after, other]))
          expect(both).toEqual(expect.arrayContaining([...given, ...(await read(other))]))
        }
      }
    })

    it('a cursor that cannot be read is refused, never taken for the beginning', async () => {
      const on = await scene()
      await on.add()
      const bad = [
        '',
        'x',
        '-1',
        '9',
        `${await on.log.end()}x`,
        "1'; drop table jobs; --",
        '\0',
        '1.2.3.4.5.6',
      ]
      for (const after of bad) {
        await expect(on.log.read({ after, limit: 1 }), JSON.stringify(after)).rejects.toMatchObject({
          code: 'E_CURSOR',
        })
      }
    })

    it('after a restore, cursors of the time before are refused: what they point at may be gone', async () => {
      const on = await fresh()
      const job = await on.add()
      const [event] = await on.events(job)
      const old = [await on.log.end(), event!.cursor]
      const before = await on.log.connect()
      await on.log.migrate({ restored: true })
      const reopened = await on.another()
      const after = await reopened.connect()
      expect(after.epoch).toBe(before.epoch + 1)
      expect(after.logId).toBe(before.logId)
      for (const cursor of old) {
        await expect(reopened.read({ after: cursor, limit: 1 })).rejects.toMatchObject({ code: 'E_CURSOR' })
      }
      const page = await on.until(async () => {
        const read = await reopened.read({ limit: 10 })
        return read.events.length > 0 && read
      })
      expect(brief(page.events)).toEqual([[job.id, 1, 'dispatched']])
      expect((await reopened.read({ after: await reopened.end(), limit: 10 })).events).toEqual([])
    })
  })
}
