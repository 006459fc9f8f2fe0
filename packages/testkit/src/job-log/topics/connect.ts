import { describe, expect, it, onTestFinished } from 'vitest'
import { newJob } from '../../fixtures.ts'
import type { JobLogHarness, LogUnderTest } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeConnect(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)

  /** A log as the harness made it, not yet migrated. */
  const empty = async (): Promise<LogUnderTest> => {
    const opened = await harness.create()
    onTestFinished(() => opened.close())
    return opened
  }

  describe('connecting and migrating', () => {
    it('says which port it implements', async () => {
      const { log } = await empty()
      expect(log.port).toBe(1)
      expect(log.name).toMatch(/\w/)
    })

    it('makes its schema; once more is nothing to do', async () => {
      const { log } = await empty()
      const first = await log.migrate()
      expect(await log.migrate()).toEqual({ from: first.to, to: first.to })
      expect((await log.connect()).schemaVersion).toBe(first.to)
    })

    it('ten workers that start together on an empty database migrate it once, without an error', async () => {
      const opened = await empty()
      const logs = [opened.log]
      for (let count = 1; count < 10; count += 1) logs.push(await opened.another())
      const reports = await Promise.all(logs.map((log) => log.migrate()))
      expect(new Set(reports.map(({ to }) => to)).size).toBe(1)
      const infos = await Promise.all(logs.map((log) => log.connect()))
      expect(new Set(infos.map(({ logId, epoch }) => `${logId} ${epoch}`)).size).toBe(1)
      const appended = await Promise.all(logs.map((log) => log.append([newJob()])))
      expect(appended.flat().map(({ status }) => status)).toEqual(logs.map(() => 'added'))
    })

    it('connecting is idempotent, and every process sees the same log', async () => {
      const on = await scene()
      const info = await on.log.connect()
      expect(await on.log.connect()).toEqual(info)
      expect(await (await on.another()).connect()).toEqual(info)
      expect(info.logId).toMatch(/^[\w-]{1,36}$/)
      expect(info.epoch).toBeGreaterThanOrEqual(0)
    })

    it('two logs have two ids, so that their tickets cannot be mixed up', async () => {
      const [one, two] = [await fresh(), await fresh()]
      expect(one.logId).not.toBe(two.logId)
      const job = await one.add()
      const worker = await two.worker({}, [one.queue])
      expect(await two.log.claim([one.ticket(job)], 1, worker, crypto.randomUUID())).toMatchObject([
        { verdict: 'drop', why: 'foreign' },
      ])
    })

    it('migrating does not touch jobs', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.migrate()
      await on.log.migrate({ restored: true })
      expect(await on.record(job)).toMatchObject({ state: 'running', run: claim.run, worker: worker.id })
    })

    it('closing is idempotent and shared, and leaves other processes alone', async () => {
      const on = await scene()
      const other = await on.another()
      await other.connect()
      await Promise.all([other.close(), other.close()])
      await other.close()
      expect(await on.state(await on.add())).toBe('ready')
    })

    it('a closed log refuses, with a code', async () => {
      const on = await scene()
      const other = await on.another()
      await other.connect()
      await other.close()
      await expect(other.append([on.newJob()])).rejects.toMatchObject({ code: 'E_CLOSED' })
      await expect(other.get(crypto.randomUUID())).rejects.toMatchObject({ code: 'E_CLOSED' })
    })
  })
}
