import { describe, expect, it, onTestFinished } from 'vitest'
import type { JobLog, Topic } from '@errand/core/ports'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

export function describeWakeups(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  /** Listens until the end of the test. Returns what the listener has heard so far. */
  const listen = async (on: Scene, log: JobLog, topics: readonly Topic[]) => {
    const heard: string[] = []
    const stop = new AbortController()
    let ended = false
    const loop = (async () => {
      for await (const topic of log.wakeups(topics, stop.signal)) heard.push(topic)
      ended = true
    })()
    onTestFinished(async () => {
      stop.abort()
      await loop
    })
    await on.until(() => heard.includes('started'), 'the listener has started')
    return { heard, stop, loop, ended: () => ended }
  }

  /** Listens, and looks for a job whenever it hears something. Answers how to wait until it has found one. */
  const reader = async (on: Scene, log: JobLog, topic: Topic) => {
    const stop = new AbortController()
    const found = new Set<string>()
    let wanted = ''
    let started = false
    const loop = (async () => {
      for await (const _ of log.wakeups([topic], stop.signal)) {
        started = true
        if (wanted !== '' && (await log.get(wanted))) found.add(wanted)
      }
    })()
    onTestFinished(async () => {
      stop.abort()
      await loop
    })
    await on.until(() => started, 'the listener has started')
    return (id: string): Promise<true> => {
      wanted = id
      return on.until(() => found.has(id), 'the job was found when it was heard of')
    }
  }

  /**
   * Writes something, then wakes those who wait for it, as every caller does. If a bare notification does not reach other
   * processes, a log may notice the write itself.
   */
  const writeAndNotify = async (on: Scene, log: JobLog, topics: readonly Topic[]): Promise<void> => {
    await log.append([on.newJob()])
    await log.notify(topics)
  }

  describe('wake-ups', () => {
    it('a listener hears at first that it listens', async () => {
      const on = await scene()
      const { heard } = await listen(on, on.log, ['events'])
      expect(heard[0]).toBe('started')
    })

    it('a notification wakes listeners in this process and in others', async () => {
      const on = await scene()
      const topic: Topic = `queue:${on.queue}`
      const here = await listen(on, on.log, [topic])
      const there = await listen(on, await on.another(), [topic])
      await writeAndNotify(on, on.log, [topic])
      await on.until(() => here.heard.includes(topic), 'heard in this process')
      await on.until(() => there.heard.includes(topic), 'heard in another process')
    })

    it('a notification from another process is heard here', async () => {
      const on = await scene()
      const { heard } = await listen(on, on.log, ['worker:7'])
      await writeAndNotify(on, await on.another(), ['worker:7'])
      await on.until(() => heard.includes('worker:7'), 'heard')
    })

    it('an append wakes listeners of its topics, in this process and in others, once its jobs can be read', async () => {
      const on = await scene()
      const topic: Topic = `queue:${on.queue}`
      const readers = [await reader(on, on.log, topic), await reader(on, await on.another(), topic)]
      for (let round = 1; round <= 5; round += 1) {
        const job = on.newJob()
        const found = readers.map((find) => find(job.id))
        await on.log.append([job], { wake: [topic] })
        await Promise.all(found)
      }
    })

    it('an append wakes for what it stores beside duplicates, jobs with keys, and jobs that are refused', async () => {
      const on = await scene()
      const topic: Topic = `queue:${on.queue}`
      const find = await reader(on, await on.another(), topic)
      const duplicate = on.newJob()
      await on.log.append([duplicate])
      const others = [
        duplicate,
        on.newJob({ ordering: { key: 'k', onFailure: 'block' } }),
        on.newJob({ name: 'a\0' }),
      ]
      for (const other of others) {
        const job = on.newJob()
        const found = find(job.id)
        await on.log.append([other, job], { wake: [topic] })
        await found
      }
    })

    it('every topic reaches who listens to it, when many are notified at once', async () => {
      const on = await scene()
      const topics: Topic[] = ['events', `queue:${on.queue}`, `worker:${on.queue}`]
      const { heard } = await listen(on, await on.another(), topics)
      await writeAndNotify(on, on.log, topics)
      await on.until(() => topics.every((topic) => heard.includes(topic)), 'all topics are heard')
    })

    it('a listener hears again and again, not only once', async () => {
      const on = await scene()
      const topic: Topic = `queue:${on.queue}`
      const { heard } = await listen(on, await on.another(), [topic])
      for (let round = 1; round <= 3; round += 1) {
        const before = heard.length
        await on.until(async () => {
          await writeAndNotify(on, on.log, [topic])
          return heard.length > before
        }, `heard in round ${round}`)
      }
    })

    it('the last notification of a burst is heard: what came after the first is not swallowed', async () => {
      const on = await scene()
      const [first, last]: Topic[] = [`queue:${on.queue}`, `queue:${on.newQueue()}`]
      const { heard } = await listen(on, await on.another(), [first!, last!])
      for (let count = 0; count < 50; count += 1) await writeAndNotify(on, on.log, [first!])
      await writeAndNotify(on, on.log, [last!])
      await on.until(() => heard.includes(last!), 'the last one is heard')
    })

    it('the listening ends when its signal aborts, also where nothing is ever heard', async () => {
      const on = await scene()
      const { stop, loop, ended } = await listen(on, on.log, ['worker:nobody'])
      stop.abort()
      await loop
      expect(ended()).toBe(true)
    })

    it('a signal that is aborted already ends at once', async () => {
      const on = await scene()
      const heard: string[] = []
      for await (const topic of on.log.wakeups(['events'], AbortSignal.abort())) heard.push(topic)
      expect(heard.filter((topic) => topic !== 'started')).toEqual([])
    })
  })
}
