// A job log on SQLite whose file cannot be written for a while: processes that have it open, and those that start in that time.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { logFromUrl } from '../services/logs.ts'
import {
  checkHistory,
  describeViolations,
  quietLogger,
  readHistory,
  scaleLimit,
  until,
} from '@errand/testkit'
import { createEffects } from '../fleet/app/effects.ts'
import { LedgerTail, readLedger } from '../fleet/app/ledger.ts'
import { lasts, pause } from '../fleet/looks.ts'
import { startMember } from '../fleet/member.ts'
import type { Member } from '../fleet/member.ts'
import { canHaveSmallDisk, startSmallDisk } from '../services/small-disk.ts'

const worker = join(import.meta.dirname, '..', 'fleet', 'app', 'worker.ts')
/** The same limit as after every other fault. */
const backMs = 10_000
const faultMs = 4_000

/** Runs as another user, because root could write everything. */
const asNobody =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : []

function nobodyCanRun(): boolean {
  try {
    execFileSync(...split([...asNobody, process.execPath, '--check', worker]), { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function split([command = '', ...parameters]: readonly string[]): [string, string[]] {
  return [command, parameters]
}

/** A folder with the file of a log, that everybody may write. */
async function logIn(): Promise<{ readonly folder: string; readonly file: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-unwritten-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o777)
  const file = join(folder, 'errand.db')
  const log = open(file)
  await log.migrate()
  await log.close()
  await createEffects(`sqlite:${file}`)
  return { folder, file }
}

function open(file: string): JobLog {
  return logFromUrl(`sqlite:${file}`).open({ clock: systemClock, logger: quietLogger })
}

/** A dispatcher on a file, and a worker if the test starts one. */
function fleetOn(file: string, ledger: string, through: readonly string[]) {
  const env = {
    ERRAND_LOG: `sqlite:${file}`,
    LEDGER: ledger,
    LEASE_MS: String(scaleLimit(2_000)),
    GRACE_MS: '2000',
    JOBS: 'mixed',
  }
  const acknowledged: string[] = []
  const refused: string[] = []
  const tail = new LedgerTail(ledger)
  const ended = new Set<string>()
  const findEnded = (): ReadonlySet<string> => {
    for (const { jobId, mark } of tail.read()) if (mark === 'ended') ended.add(jobId)
    return ended
  }
  return {
    acknowledged,
    refused,
    startWorker: (): Promise<Member> => startMember('worker', env, { through }),
    startDispatcher: (own: Readonly<Record<string, string>> = {}): Promise<Member> =>
      startMember(
        'dispatcher',
        { ...env, EVERY_MS: '20', ...own },
        {
          through,
          line(line) {
            if (line.startsWith('dispatched ')) acknowledged.push(line.split(' ')[1] ?? '')
            else if (line.startsWith('refused ')) refused.push(line.slice('refused '.length))
            else return false
            return true
          },
        },
      ),
    /** Waits until more jobs are dispatched, and more have ended. */
    async goesOn(): Promise<void> {
      const [dispatches, ends] = [acknowledged.length + 20, findEnded().size + 20]
      await until(() => acknowledged.length >= dispatches && findEnded().size >= ends, {
        what: 'jobs are dispatched, and end',
        withinMs: 30_000,
        pause,
      })
    },
    allEnded: (): Promise<unknown> =>
      until(() => acknowledged.every((id) => findEnded().has(id)), {
        what: 'all that was acknowledged has ended',
        withinMs: 60_000,
        pause,
      }),
  }
}

async function stop(member: Member): Promise<void> {
  member.signal('SIGTERM')
  expect(await member.exited, member.output()).toBe(0)
}

/** Checks the history of every job, in a log that nobody has open any more. */
async function keptPromises(file: string, ledger: string, acknowledged: readonly string[]): Promise<void> {
  const log = open(file)
  try {
    const events = await readHistory(log)
    const succeeded = new Set(events.flatMap(({ type, jobId }) => (type === 'succeeded' ? [jobId] : [])))
    expect(acknowledged.filter((id) => !succeeded.has(id))).toEqual([])
    const history = { events, dispatched: acknowledged, ledger: readLedger(ledger), live: [] }
    expect(describeViolations(checkHistory(history))).toBe('')
  } finally {
    await log.close()
  }
}

/** What a process has used of a processor, ms: Linux counts in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

describe.skipIf(!canHaveSmallDisk())('an SQLite file on a disk that is full', () => {
  test('nothing is acknowledged and lost, nobody works in vain, and all goes on once there is room', async () => {
    const { folder, file } = await logIn()
    const disk = await startSmallDisk('12m', onTestFinished)
    cpSync(file, join(disk.seen, 'errand.db'))
    const ledger = join(folder, 'ledger')
    const fleet = fleetOn(join(disk.folder, 'errand.db'), ledger, disk.through)
    const dispatcher = await fleet.startDispatcher()
    const worker = await fleet.startWorker()
    await fleet.goesOn()

    disk.fill()
    const isTold = (): boolean =>
      fleet.refused.some((why) => why.startsWith('E_LOG: there is no room on the disk'))
    await until(isTold, { what: 'the dispatcher is told', pause })
    expect(fleet.refused.at(-1)).toMatch(/errand\.db, and nothing was stored.*make room/)
    const before = { said: worker.output().length, cpu: cpuMs(worker.pid) }
    await lasts(faultMs)
    expect(cpuMs(worker.pid) - before.cpu).toBeLessThan(scaleLimit(faultMs / 2))
    expect(worker.output().slice(before.said)).toMatch(/there is no room on the disk/)
    expect(worker.output().slice(before.said).split('\n').length).toBeLessThan(100)

    disk.makeRoom()
    const sinceMs = performance.now()
    await fleet.goesOn()
    expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(backMs))
    await stop(dispatcher)
    await fleet.allEnded()
    await stop(worker)
    cpSync(disk.seen, folder, { recursive: true })
    await keptPromises(file, ledger, fleet.acknowledged)
  })
})

describe.skipIf(process.platform !== 'linux' || !nobodyCanRun())(
  'an SQLite file that may not be written',
  () => {
    test('processes that have it open go on; new ones are told why, and work once it may be written', async () => {
      const { folder, file } = await logIn()
      if (asNobody.length > 0) chownSync(file, 65_534, 65_534)
      const fleet = fleetOn(file, join(folder, 'ledger'), asNobody)
      chmodSync(file, 0o444)
      const first = await fleet.startDispatcher()
      await expect(fleet.startWorker()).rejects.toThrow(
        /ended \([1-9][^]*E_READ_ONLY[^]*give this process write access/,
      )
      await isRefused()
      chmodSync(file, 0o644)
      const sinceMs = performance.now()
      const worker = await fleet.startWorker()
      await fleet.goesOn()
      expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(backMs))

      // Processes that have it open do not notice. A process that only reads at first may open it.
      fleet.refused.length = 0
      chmodSync(file, 0o444)
      await fleet.goesOn()
      expect(fleet.refused).toEqual([])
      await stop(first)
      const second = await fleet.startDispatcher({ CREATE_LOG: 'false' })
      await isRefused()
      chmodSync(file, 0o644)
      const againMs = performance.now()
      await fleet.goesOn()
      expect(performance.now() - againMs).toBeLessThan(scaleLimit(backMs))
      await stop(second)
      await fleet.allEnded()
      await stop(worker)
      await keptPromises(file, join(folder, 'ledger'), fleet.acknowledged)

      async function isRefused(): Promise<void> {
        const acknowledged = fleet.acknowledged.length
        await until(() => fleet.refused.length > 3, { what: 'dispatches are refused', pause })
        expect(fleet.refused.at(-1)).toMatch(
          /^E_READ_ONLY: .*errand\.db cannot be written; give this process write access/,
        )
        expect(fleet.acknowledged.length).toBe(acknowledged)
      }
    })
  },
)
