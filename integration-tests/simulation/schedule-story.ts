import type { JobStore, ScheduleRow } from '@errand/core/engine'
import { isFinal } from '@errand/core/ports'
import type { NewJob, ScheduleChange, ScheduleRecord, ScheduleSaved } from '@errand/core/ports'
import type { DispatchedTick } from '@errand/testkit/history'
import type { ScheduleBody } from '../../packages/core/src/schedule/body.ts'
import type { SimulatedProcess } from './process.ts'
import { isUnmakeable } from './schedule-plan.ts'
import { decide, findNext, readRules } from './schedule-rules.ts'
import type { Decision } from './schedule-rules.ts'

/** A job that a tick or a trigger has. */
interface Made {
  readonly uid: string
  readonly atMs: number
  /** When the row was changed, by the log's clock. */
  readonly savedMs: number
}

/** One change of a row, and all that is known of who made it. */
interface Step {
  readonly name: string
  readonly a: ScheduleBody
  readonly b: ScheduleBody
  readonly change: ScheduleChange
  readonly appended: ScheduleSaved['appended']
  /** By the log's clock: when the process that made it may have decided on it. */
  readonly readMs: readonly number[]
  readonly store: JobStore
  readonly nowMs: number
}

/**
 * Follows every change of a schedule's row, and compares it with what the rules in the row say: which ticks it passed over,
 * which of them has a job, and how many were left out.
 */
export class ScheduleStory {
  readonly #wrong: (text: string) => void
  readonly #rows = new Map<string, ScheduleRow>()
  readonly #reads = new WeakMap<SimulatedProcess, Map<string, number[]>>()
  readonly #jobs = new Map<string, Made>()
  /** What the jobs themselves say, right or wrong. */
  readonly #ticks = new Map<string, DispatchedTick>()
  /** Who held the unique key of a tick's job, by the id that it would have had. */
  readonly #holders = new Map<string, string>()
  readonly #triggers = new Map<string, { readonly name: string; readonly count: number }>()

  constructor(wrong: (text: string) => void) {
    this.#wrong = wrong
  }

  /** A process has read these schedules. */
  read(
    process: SimulatedProcess,
    names: readonly string[] | undefined,
    { now, schedules }: { readonly now: number; readonly schedules: readonly ScheduleRecord[] },
  ): void {
    const reads = this.#reads.get(process) ?? new Map<string, number[]>()
    this.#reads.set(process, reads)
    const revisions = new Map(schedules.map(({ name, revision }) => [name, revision]))
    for (const name of names ?? revisions.keys()) {
      const key = `${name} ${revisions.get(name) ?? 0}`
      reads.set(key, [...(reads.get(key) ?? []), now])
    }
  }

  /** These changes were carried out just now. */
  saved(
    process: SimulatedProcess,
    changes: readonly ScheduleChange[],
    answers: readonly ScheduleSaved[],
    store: JobStore,
    nowMs: number,
  ): void {
    for (const [index, change] of changes.entries()) {
      const { name } = change
      const before = this.#rows.get(name)
      const after = store.schedule(name)
      if (after === undefined) {
        this.#rows.delete(name)
        continue
      }
      if (before && before.revision === after.revision && before.body === after.body) continue
      this.#rows.set(name, after)
      const b = readRow(after)
      this.#triggers.set(b.uid, { name, count: b.triggers })
      const readMs = this.#reads.get(process)?.get(`${name} ${change.after}`) ?? []
      const { appended } = answers[index] ?? {}
      const a = before && readRow(before)
      if (change.job && appended?.status === 'added') {
        const [, atMs] = JSON.parse(change.job.meta['errand.tick'] ?? '[]') as [string, number]
        const isTrigger = b.triggered > (a?.triggered ?? 0)
        this.#ticks.set(appended.id, {
          schedule: b.uid,
          at: isTrigger ? undefined : atMs,
          overlap: b.rules.overlap,
        })
      }
      const texts = a
        ? this.#judge({ name, a, b, change, appended, readMs, store, nowMs })
        : judgeNew(b, readMs, change)
      for (const text of texts) {
        this.#wrong(
          `${name}, revision ${after.revision}: ${text} (${before?.body ?? 'none'} became ${after.body})`,
        )
      }
    }
  }

  /** The tick of a job, for the history checker. */
  findTick(id: string): DispatchedTick | undefined {
    return this.#ticks.get(id)
  }

  /** Checks the jobs of all ticks, once nothing happens any more. `asked` and `answered` count the triggers of operators. */
  check(
    store: JobStore,
    ids: readonly string[],
    live: readonly string[],
    triggers: ReadonlyMap<string, { readonly asked: number; readonly answered: number }>,
  ): void {
    for (const id of ids) {
      const row = store.row(id)
      const tick = row && store.stored(row).meta['errand.tick']
      if (!row || tick === undefined) continue
      const made = this.#jobs.get(id)
      if (!made) this.#wrong(`job ${id} is of the tick ${tick}, which no change of the row has dispatched`)
      else if (made.savedMs !== row.dispatchedAt)
        this.#wrong(`job ${id} was stored ${made.savedMs - row.dispatchedAt} ms before the change of its row`)
    }
    const stored = new Set(ids)
    for (const [id, { atMs }] of this.#jobs)
      if (!stored.has(id)) this.#wrong(`job ${id} of the tick ${atMs} is not in the log`)
    for (const name of live) {
      const row = this.#rows.get(name)
      const { triggers: asked, triggered } = row ? readRow(row) : { triggers: 0, triggered: 0 }
      if (asked !== triggered) this.#wrong(`${name} was triggered ${asked} times, and ${triggered} were done`)
    }
    for (const [name, { asked, answered }] of triggers) {
      const counts = [...this.#triggers.values()].filter((each) => each.name === name)
      const counted = counts.reduce((sum, { count }) => sum + count, 0)
      if (counted < answered || counted > asked)
        this.#wrong(`${name} was triggered ${asked} times, ${answered} were answered, and ${counted} counted`)
    }
  }

  #judge(step: Step): string[] {
    const { a, b, change, readMs, appended } = step
    if (a.uid !== b.uid) return ['another schedule took its row']
    const shared = [
      ...(b.triggers < a.triggers || b.triggers > a.triggers + 1 ? ['a trigger is gone'] : []),
      ...(b.triggers > a.triggers && !readMs.includes(b.triggerAt ?? 0) ? ['triggered at another time'] : []),
      ...(b.triggered < a.triggered || b.triggered > a.triggered + 1 ? ['a trigger was done again'] : []),
      ...(appended?.status === 'refused' ? [`its job was refused: ${appended.why}`] : []),
    ]
    const isResumed = a.pausedBy !== undefined && b.pausedBy === undefined
    const hasOtherTimes = JSON.stringify(a.rules.times) !== JSON.stringify(b.rules.times)
    if (isResumed || hasOtherTimes) {
      const fromMs = hasOtherTimes ? (b.lastAt ?? 0) : 0
      const expected = readMs.map((ms) => findNext(readRules(b), Math.max(fromMs, ms)))
      return [
        ...shared,
        ...(expected.includes(b.nextAt ?? 0)
          ? []
          : [`it goes on at ${b.nextAt}, not ${expected.join(' or ')}`]),
        ...(change.job || b.leftOut !== a.leftOut || b.lastAt !== a.lastAt ? ['it also ticked'] : []),
      ]
    }
    if (b.triggered > a.triggered) return [...shared, ...this.#judgeTrigger(step)]
    if (this.#isAmended(step)) return shared
    if (a.nextAt === b.nextAt)
      return [
        ...shared,
        ...(change.job || b.leftOut !== a.leftOut || b.lastAt !== a.lastAt ? ['a job of no tick'] : []),
      ]
    return [...shared, ...this.#judgeTick(step)]
  }

  /** The tick before had no job of its own, because another one holds its unique key. It is counted, and its row names that one. */
  #isAmended({ a, b, change }: Step): boolean {
    const holder = this.#holders.get(a.lastJob ?? '')
    return (
      holder !== undefined &&
      !change.job &&
      b.leftOut === a.leftOut + 1 &&
      b.lastJob === holder &&
      b.nextAt === a.nextAt &&
      b.lastAt === a.lastAt
    )
  }

  /** What passed over one tick or more. */
  #judgeTick(step: Step): string[] {
    const { a, b, readMs } = step
    if (a.pausedBy !== undefined) return ['it ticked while it was paused']
    const rules = readRules(a)
    const decisions = readMs.flatMap((ms) => decide(rules, a.nextAt ?? 0, ms) ?? [])
    // A process may have read the row twice, and it is not known by which of both it decided.
    const judged = decisions.flatMap((decision) =>
      decision.nextMs === b.nextAt ? [this.#judgeDecision(step, decision)] : [],
    )
    const expected = decisions.map(({ nextMs }) => nextMs).join(' or ') || 'none'
    return (
      judged.find((texts) => texts.length === 0) ??
      judged[0] ?? [`it goes on at ${b.nextAt}, and by its rules at ${expected}`]
    )
  }

  #judgeDecision(step: Step, { atMs, leftOut }: Decision): string[] {
    const { name, a, b } = step
    if (atMs === undefined) return this.#judgeJob(step, undefined, leftOut)
    const texts = b.lastAt === atMs ? [] : [`the tick of ${atMs} is noted as ${b.lastAt}`]
    if (b.lastAt !== undefined && b.lastAt <= (a.lastAt ?? 0)) texts.push('a tick of an earlier moment')
    return [...texts, ...this.#judgeJob(step, { name, atMs, missed: leftOut }, leftOut)]
  }

  #judgeTrigger(step: Step): string[] {
    const { name, a, b } = step
    const texts = a.nextAt === b.nextAt && a.lastAt === b.lastAt ? [] : ['a trigger and a tick at once']
    return [...texts, ...this.#judgeJob(step, { name, atMs: a.triggerAt ?? 0, missed: 0 }, 0)]
  }

  /** The job of a tick: it must be there if nothing speaks against it, and not be there if something does. */
  #judgeJob(
    { name, a, b, change: { job }, appended, readMs, store, nowMs }: Step,
    tick: { readonly name: string; readonly atMs: number; readonly missed: number } | undefined,
    leftOut: number,
  ): string[] {
    const more = b.leftOut - a.leftOut - leftOut
    if (!tick)
      return [...(job ? ['a job of a tick that was missed'] : []), ...(more === 0 ? [] : ['miscounted'])]
    const last = a.lastJob === undefined ? undefined : store.row(a.lastJob)
    const meets = a.rules.overlap === 'skip' && last !== undefined
    if (!job) {
      const met = meets && (last.finishedAt === undefined || last.finishedAt >= Math.min(...readMs))
      if (!met && !isUnmakeable(name, tick.atMs)) return [`the tick of ${tick.atMs} has no job`]
      return more === 1 ? [] : [`the tick of ${tick.atMs} has no job, and was not counted`]
    }
    const texts: string[] = []
    if (meets && !isFinal(last.state)) texts.push(`job ${job.id} met job ${last.id}, which has not ended`)
    if (more !== 0) texts.push(`the tick of ${tick.atMs} has a job, and was counted as left out`)
    if (b.lastJob !== job.id) texts.push(`job ${job.id} is not noted`)
    const meta = JSON.stringify([name, tick.atMs, a.lastAt ?? null, tick.missed])
    if (job.meta['errand.tick'] !== meta)
      texts.push(`its job is told ${job.meta['errand.tick']}, not ${meta}`)
    const jitterMs = findJitter(job, tick.atMs)
    if (jitterMs < 0 || jitterMs > Math.max(0, a.rules.jitterMs - 1)) texts.push(`a jitter of ${jitterMs} ms`)
    // Another job may hold its unique key. Then the tick has no job of its own.
    if (appended?.status === 'duplicate' && appended.id === job.id)
      texts.push(`job ${job.id} was there already`)
    if (appended?.status === 'duplicate') this.#holders.set(job.id, appended.id)
    if (appended?.status === 'added') this.#jobs.set(job.id, { uid: a.uid, atMs: tick.atMs, savedMs: nowMs })
    return texts
  }
}

function judgeNew(b: ScheduleBody, readMs: readonly number[], { job }: ScheduleChange): string[] {
  const expected = readMs.map((ms) => findNext(readRules(b), ms))
  return [
    ...(expected.includes(b.nextAt ?? 0) ? [] : [`it begins at ${b.nextAt}, not ${expected.join(' or ')}`]),
    ...(job ? ['it ticked when it was made'] : []),
  ]
}

function findJitter({ due }: NewJob, atMs: number): number {
  return due && 'at' in due ? due.at - atMs : 0
}

function readRow({ body }: ScheduleRow): ScheduleBody {
  return JSON.parse(body) as ScheduleBody
}
