import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const second = 1_000
const hour = 3_600 * second
const ordering = { key: 'k', onFailure: 'block' } as const

const listIds = (jobs: readonly { readonly id: string }[]): string[] => jobs.map(({ id }) => id).toSorted()

export function describeExpedite(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { advance } = harness.capabilities

  describe('expedite', () => {
    it('jobs whose tickets may be gone are overdue at once: to relays, and to workers', async () => {
      const on = await scene()
      const jobs = await on.addAll([{ publishGraceMs: hour }, { publishGraceMs: hour }])
      const worker = await on.worker()
      expect(await on.log.expedite([on.queue], { limit: 100 })).toEqual({ jobs: 2, more: false })
      await on.pass(2)
      const { republished } = await on.sweep({ republish: true })
      expect(listIds(republished)).toEqual(listIds(jobs))
      await on.log.expedite([on.queue], { limit: 100 })
      await on.pass(2)
      const taken = await on.log.take([on.queue], 10, worker, randomUUID(), { overdue: true })
      expect(listIds(taken.map(({ job }) => job))).toEqual(listIds(jobs))
    })

    it('other queues are left alone', async () => {
      const on = await scene()
      const other = on.newQueue()
      const [mine] = await on.addAll([{ publishGraceMs: hour }, { publishGraceMs: hour, queue: other }])
      await on.log.expedite([on.queue, on.newQueue()], { limit: 100 })
      await on.log.expedite([], { limit: 100 })
      await on.pass(2)
      expect(listIds((await on.sweep({ republish: true })).republished)).toEqual([mine!.id])
    })

    it('at most so many in one call, the longest wait first, and it says whether there may be more', async () => {
      const on = await scene()
      const other = on.newQueue()
      const [brief, long, longer, elsewhere] = await on.addAll([
        { publishGraceMs: hour },
        { publishGraceMs: 2 * hour },
        { publishGraceMs: 3 * hour },
        { publishGraceMs: hour, queue: other },
      ])
      const listed = async (): Promise<string[]> => {
        await on.pass(2)
        return listIds((await on.sweep({ republish: true })).republished)
      }
      const options = { limit: 2, leftMs: 60 * second }
      expect(await on.log.expedite([on.queue, other], options)).toEqual({ jobs: 2, more: true })
      expect(await listed()).toEqual(listIds([long!, longer!]))
      expect(await on.log.expedite([on.queue, other], options)).toEqual({ jobs: 2, more: true })
      expect(await listed()).toEqual(listIds([brief!, elsewhere!]))
      expect(await on.log.expedite([on.queue, other], options)).toEqual({ jobs: 0, more: false })
    })

    it('many processes at once: each job is published again once', async () => {
      const on = await scene()
      const jobs = await on.addAll(Array.from({ length: 40 }, () => ({ publishGraceMs: hour })))
      const logs = [on.log, await on.another(), await on.another()]
      const republished: string[] = []
      await on.until(async () => {
        const reports = await Promise.all(
          [...logs, ...logs].map((log) => log.expedite([on.queue], { limit: 9, leftMs: 30 * second })),
        )
        await on.pass(2)
        const swept = await on.sweep({ republish: true })
        await on.log.published(swept.republished)
        republished.push(...swept.republished.map(({ id }) => id))
        return reports.every((report) => report.jobs === 0) && swept.republished.length === 0
      })
      expect(republished.toSorted()).toEqual(listIds(jobs))
    })

    it('a first ticket that is still under way is left alone, where asked', async () => {
      const on = await scene()
      await on.add({ publishGraceMs: 30 * second })
      expect(await on.log.expedite([on.queue], { limit: 10, leftMs: 30 * second })).toEqual({
        jobs: 0,
        more: false,
      })
      expect(await on.log.expedite([on.queue], { limit: 10 })).toEqual({ jobs: 1, more: false })
    })

    it('only ready jobs: what runs, waits or has ended is not touched, and nothing is an event', async () => {
      const on = await scene()
      const { job: running } = await on.start({ ordering, publishGraceMs: hour })
      const [blocked, scheduled, ready] = await on.addAll([
        { ordering, publishGraceMs: hour },
        { due: { delayMs: hour }, publishGraceMs: hour },
        { publishGraceMs: hour },
      ])
      const ended = await on.ended(outcomes.succeed(), { publishGraceMs: hour })
      expect((await on.log.expedite([on.queue], { limit: 100 })).jobs).toBe(1)
      expect(await on.states([running, blocked!, scheduled!, ready!, ended])).toEqual([
        'running',
        'blocked',
        'scheduled',
        'ready',
        'succeeded',
      ])
      expect(await on.story(ready!)).toEqual(['dispatched'])
    })

    it.runIf(advance)('a grace that has doubled starts over', async () => {
      const on = await scene()
      const job = await on.add({ publishGraceMs: 0 })
      for (let publish = 0; publish < 6; publish += 1) {
        await on.jump(hour / 2)
        await on.log.published((await on.sweep({ republish: true })).republished)
      }
      await on.log.expedite([on.queue], { limit: 10, leftMs: 30 * second })
      await on.jump(1)
      expect((await on.sweep({ republish: true })).republished).toEqual([on.ticket(job)])
      await on.jump(31 * second)
      expect((await on.sweep({ republish: true })).republished).toEqual([on.ticket(job)])
    })
  })
}
