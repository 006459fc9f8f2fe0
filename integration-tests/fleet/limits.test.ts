import { describe, expect, test } from 'vitest'
import type { LedgerLine } from '@errand/testkit'
import { readLedger } from './app/ledger.ts'
import { limitedJob } from './app/limited-jobs.ts'
import { allEnded, lasts } from './looks.ts'
import { startMember } from './member.ts'
import type { Member } from './member.ts'
import { places, scene } from './shared.ts'

/** `ERRAND_TEST_LIMITS=long`: 2,000 jobs at 10 a second. Otherwise fewer jobs and a higher rate. */
const isLong = process.env['ERRAND_TEST_LIMITS'] === 'long'
const atOnce = 5
const { workers, jobs, slow, rate, tenants } = isLong
  ? { workers: 6, jobs: 2_000, slow: 800, rate: { max: 10, per: '1s', burst: 5 }, tenants: 100 }
  : { workers: 3, jobs: 200, slow: 300, rate: { max: 40, per: '1s', burst: 5 }, tenants: 20 }

interface Line extends LedgerLine {
  readonly pid: number
  readonly tenant: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** A run by the handlers' own ledger. One whose process was killed has ended by then. */
interface Run {
  readonly tenant: string
  readonly from: number
  readonly to: number
}

function findRuns(lines: readonly Line[], killed: ReadonlyMap<number, number>): readonly Run[] {
  const key = ({ jobId, run }: Line): string => `${jobId} ${run}`
  const ends = new Map(lines.filter(({ mark }) => mark === 'ended').map((line) => [key(line), line.at]))
  return lines
    .filter(({ mark }) => mark === 'began')
    .map((line) => ({
      tenant: line.tenant,
      from: line.at,
      to: ends.get(key(line)) ?? killed.get(line.pid) ?? Infinity,
    }))
}

/** The most runs at one moment. One that ends in the millisecond in which another begins was first. */
function mostAtOnce(runs: readonly Run[]): number {
  const turns = runs.flatMap(({ from, to }) => [
    { at: from, by: 1 },
    { at: to, by: -1 },
  ])
  let now = 0
  return Math.max(0, ...turns.toSorted((a, b) => a.at - b.at || a.by - b.by).map(({ by }) => (now += by)))
}

/** The most starts in any time of this length. */
function mostIn(runs: readonly Run[], ms: number): number {
  const starts = runs.map(({ from }) => from).toSorted((a, b) => a - b)
  return Math.max(
    0,
    ...starts.map((at, first) => starts.filter((other, n) => n >= first && other < at + ms).length),
  )
}

describe.each(places.map(({ name, title }) => ({ name, title })))('limits on $title', ({ name }) => {
  const start = async (values: object, count: number) => {
    const on = await scene(name, { publishGraceMs: 2_000 })
    const limit = JSON.stringify(values)
    const fleet = await Promise.all(
      Array.from({ length: count }, () => startMember('limited', { ...on.env, LIMIT: limit })),
    )
    const killed = new Map<number, number>()
    const kill = async (member: Member): Promise<void> => {
      member.signal('SIGKILL')
      await member.exited
      killed.set(member.pid, Date.now())
    }
    const runs = (): readonly Run[] => findRuns(readLedger(on.ledger) as readonly Line[], killed)
    return { ...on, job: limitedJob(limit), fleet, kill, runs }
  }

  test('so many at once and so fast, over all workers, though one of them is killed', async () => {
    const on = await start({ concurrency: { total: atOnce }, rate: { total: rate } }, workers)
    const receipts = await on.errand.dispatchMany(
      // First the places are too few, then the tokens.
      Array.from({ length: jobs }, (_, n) =>
        on.job.with({ tenant: `tenant-${n % 7}`, ms: n < jobs / 4 ? slow : 20 }),
      ),
    )
    await lasts(1_000)
    await on.kill(on.fleet[0]!)
    await allEnded(on.log, 120_000 + (jobs / rate.max) * 2_000)

    const runs = on.runs()
    expect(mostAtOnce(runs)).toBeLessThanOrEqual(atOnce)
    const again = runs.length - jobs
    for (const ms of [100, 1_000, 5_000])
      expect(mostIn(runs, ms), `in ${ms} ms`).toBeLessThanOrEqual(
        (rate.max * ms) / 1_000 + 2 * rate.burst + again,
      )
    expect(new Set(runs.map(({ tenant }) => tenant)).size).toBe(7)
    expect(await on.violations()).toBe('')
    for (const { id } of receipts.slice(0, 50)) {
      const story = (await on.log.readHistory(id)).map(({ type }) => type)
      if (!story.includes('lost')) expect(story).toEqual(['dispatched', 'unblocked', 'started', 'succeeded'])
    }
  })

  test('no tenant waits while another is let go twice, however many jobs it has', async () => {
    const on = await start({ concurrency: 1 }, 2)
    await on.errand.limits.close('api', { for: '1h' }, 'the test')
    const counts = Array.from({ length: tenants }, (_, tenant) => 1 + (tenant % 5) * (isLong ? 20 : 3))
    await on.errand.dispatchMany(
      counts.flatMap((count, tenant) =>
        Array.from({ length: count }, () => on.job.with({ tenant: `tenant-${tenant}`, ms: 0 })),
      ),
    )
    await on.errand.limits.open('api', {}, 'the test')
    await allEnded(on.log, 120_000)

    const order = on.runs().toSorted((a, b) => a.from - b.from)
    const left = new Map(counts.map((count, tenant) => [`tenant-${tenant}`, count]))
    const turn = new Set<string>()
    for (const { tenant } of order) {
      if (turn.has(tenant)) {
        // A new turn: everybody who still waits has had one in the last.
        for (const [each, count] of left) if (count > 0) expect(turn, each).toContain(each)
        turn.clear()
      }
      turn.add(tenant)
      left.set(tenant, left.get(tenant)! - 1)
    }
    expect([...left.values()].every((count) => count === 0)).toBe(true)
  })
})
