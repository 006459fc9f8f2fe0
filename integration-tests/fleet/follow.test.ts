import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readHistory, until } from '@errand/testkit'
import { ordered } from './app/jobs.ts'
import { allEnded, pause } from './looks.ts'
import { startMember, startWorker } from './member.ts'
import { logs, scene } from './shared.ts'

const jobs = 5_000

interface Seen {
  readonly cursor: string
  readonly jobId: string
  readonly version: number
}

/** What the follower wrote down. If it was killed, its last line may be incomplete. */
function seenIn(file: string): Seen[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Seen)
}

describe.each(logs)('a process that follows all events on %s', (name) => {
  test('is killed and resumes from its cursor twice, and has seen every event exactly once, in order', async () => {
    const { errand, env, log, ledger } = await scene(name)
    const file = `${ledger}.seen`
    const follow = () => startMember('follower', { ...env, FOLLOWED: file })
    let follower = await follow()
    await Promise.all([startWorker(env), startWorker(env)])
    const dispatched = (async () => {
      for (let from = 0; from < jobs; from += 250) {
        await errand.dispatchMany(
          Array.from({ length: 250 }, (_, index) =>
            ordered.with({
              n: from + index,
              key: `key-${index}`,
              failures: index % 9 === 0 ? 1 : 0,
              ms: 0,
            }),
          ),
        )
      }
    })()
    for (const mark of [4_000, 9_000]) {
      await until(() => seenIn(file).length > mark, {
        what: `the follower has seen ${mark} events`,
        withinMs: 60_000,
        pause,
      })
      follower.signal('SIGKILL')
      await follower.exited
      follower = await follow()
    }
    await dispatched
    await allEnded(log, 60_000)
    // Another test's transaction may be open, and readers of all jobs wait for older transactions.
    const history = await until(async () => {
      const events = await readHistory(log)
      return events.filter(({ type }) => type === 'succeeded').length === jobs ? events : undefined
    })
    await until(() => seenIn(file).length >= history.length, {
      what: 'the follower has caught up',
      withinMs: 30_000,
      pause,
    })

    const seen = seenIn(file)
    const toId = (event: { jobId: string; version: number }): string => `${event.jobId} ${event.version}`
    expect(seen.map(toId)).toEqual(history.map(toId))
    const versions = new Map<string, number>()
    for (const { jobId, version } of seen) {
      expect(version).toBe((versions.get(jobId) ?? 0) + 1)
      versions.set(jobId, version)
    }
  })
})
