import type { QueueKey } from '../../job/claim.ts'
import { MemoryStore } from '../memory-store.ts'
import type { JobState } from '../../job/state.ts'
import type { LimitPlace } from '../../ports/limits.ts'
import type { JobRow, JobStore, LimitKeyRow } from '../store.ts'
import { createChanges } from './changes.ts'
import type { Changes } from './changes.ts'
import { formatKey, formatQuestion } from './known.ts'
import type { Known } from './known.ts'
import { flowsOf } from './working-flows.ts'
import { createStepSet } from './step-set.ts'
import { answeredAsRead, listings } from './questions.ts'
import type { Answers, KeyFound, Question, QuestionKind, QuestionOf } from './questions.ts'

/** The rules asked for something that was not read. The host reads it and runs the rules again. */
export class Miss extends Error {
  readonly questions: readonly Question[]

  constructor(questions: readonly Question[]) {
    super('the rules asked for something that was not read')
    this.name = 'Miss'
    this.questions = questions
  }
}

/** Sequences of new jobs until they are stored: behind all others. */
const firstNewSequence = 2 ** 52
/** A key is asked for with its holder and the job that comes next. */
const holderAndNext = 2

export interface WorkingSet {
  readonly store: JobStore
  /** What the rules have changed; undefined: nothing. */
  readonly changes: () => Changes | undefined
}

/** What the rules work on: copies of the rows that were read. It answers from them, and remembers what was changed. */
export function createWorkingSet(
  known: Known,
  now: number,
  refusesData: (error: unknown) => boolean,
): WorkingSet {
  const made = createChanges()
  let hasChanges = false
  /** For the methods that change something. */
  const changing = (): Changes => {
    hasChanges = true
    return made
  }
  /** The rows as they are now. It answers the lists, once it is sure that enough was read for them. */
  const rows = new MemoryStore('')
  for (const { row } of known.rows.values()) rows.load({ ...row })
  if (known.has(['workers'])) for (const worker of known.get(['workers'])) rows.saveWorker(worker)

  const ask = <K extends QuestionKind>(
    question: QuestionOf<K>,
    others: () => readonly Question[] = () => [],
  ): Answers[K] => {
    if (!known.has(question)) throw new Miss([question as unknown as Question, ...others()])
    return known.get(question)
  }
  const knownRows = (): JobRow[] => [...known.rows.values()].map(({ row }) => row)
  /** The same for all jobs that the same kind of question found: the rules go through them one after another. */
  const sameFor = (id: string, kind: 'stored' | 'eventsOf') => (): Question[] => {
    const foundBy = known.rows.get(id)?.foundBy
    return knownRows().flatMap((row) => (known.rows.get(row.id)?.foundBy === foundBy ? [[kind, row.id]] : []))
  }
  const turnsOfRows = (): Question[] =>
    knownRows().flatMap(({ queue, lane, shareKey }) =>
      shareKey === undefined ? [] : [['turns', queue, lane, shareKey]],
    )
  const keyFound = (key: QueueKey): KeyFound & { readonly limit: number } => {
    const found = known.keys.get(formatKey(key))
    if (found) return found
    const ofRows = knownRows().flatMap(({ queue, orderingKey }) =>
      orderingKey === undefined ? [] : [{ queue, key: orderingKey }],
    )
    const unknown = [key, ...ofRows, ...made.notesTaken].filter((each) => !known.keys.has(formatKey(each)))
    throw new Miss(unknown.map((each) => ['key', each, holderAndNext]))
  }

  /** For keys that many jobs of the call have: asks for enough of the jobs that wait behind the holder. */
  const longerLines = (): Question[] =>
    [...known.keys.values()].flatMap(({ queue, key, jobs, limit }): Question[] => {
      const ofKey = knownRows().filter((row) => row.queue === queue && row.orderingKey === key).length
      return jobs.length === limit && ofKey >= limit ? [['key', { queue, key }, ofKey + holderAndNext]] : []
    })

  /** The rules go through limits and keys one after another: what they want to know of one is read of all. */
  const places = (): LimitPlace[] => [
    ...known.places.values(),
    ...made.limitKeys.values(),
    ...knownRows().flatMap(({ limit }) => limit ?? []),
  ]
  const changedKeys = (name: string) => [...made.limitKeys.values()].filter((each) => each.name === name)
  const withChangedKeys = (name: string, read: readonly LimitKeyRow[], limit: number): LimitKeyRow[] => {
    const keys = new Map(read.map((row) => [row.key, row]))
    for (const { key, row } of changedKeys(name)) {
      if (row) keys.set(key, row)
      else keys.delete(key)
    }
    return [...keys.values()]
      .toSorted((a, b) => Number(b.waits) - Number(a.waits) || a.turn - b.turn)
      .slice(0, limit)
  }
  const setLimitKey = ({ name, key }: LimitPlace, row: LimitKeyRow | undefined): void =>
    void changing().limitKeys.set(formatQuestion([name, key]), { name, key, row })

  /** Jobs that need the same, members of a flow: the rules go through them one after another. */
  const related = (): Question[] =>
    [...known.related].flatMap((id): Question[] => [
      ['row', id],
      ['flow', id],
      ['needsOf', id],
    ])

  const isChanged = (id: string): boolean => made.updated.has(id) || made.removed.has(id)
  /** A job of the list that was changed may have left it, and let in one that was not read. */
  const checkList = (question: readonly unknown[], limit: number): void => {
    const list = known.lists.get(formatQuestion(question))
    const needed = limit + (list?.ids.filter(isChanged).length ?? 0)
    if (list && (list.ids.length < list.limit || list.limit >= needed)) return
    const [kind, , ...rest] = question
    throw new Miss([
      [...question, needed] as unknown as Question,
      ...(kind === 'atLimit' ? places() : []).map(
        ({ name, key }) => [kind, { name, key }, ...rest, needed] as unknown as Question,
      ),
    ])
  }

  type Method = (...args: unknown[]) => unknown
  const methods = (
    kinds: readonly (keyof JobStore)[],
    answer: (kind: keyof JobStore, args: unknown[]) => unknown,
  ) => Object.fromEntries(kinds.map((kind): [string, Method] => [kind, (...args) => answer(kind, args)]))
  const asRead = methods(answeredAsRead, (kind, args) =>
    ask([kind, ...args] as unknown as Question),
  ) as unknown
  const listed = methods(listings, (kind, args) => {
    if (kind === 'lost') ask(['workers'])
    checkList([kind, ...args.slice(0, -1)], args.at(-1) as number)
    return (rows[kind as (typeof listings)[number]] as Method).apply(rows, args)
  }) as unknown

  const store: JobStore = {
    ...(asRead as Pick<JobStore, (typeof answeredAsRead)[number]>),
    ...(listed as Pick<JobStore, (typeof listings)[number]>),

    ...createStepSet({
      known,
      ask,
      made,
      changing,
      suspended: () => knownRows().flatMap(({ id, state }) => (state === 'suspended' ? id : [])),
    }),
    stateOf: (id) => made.inserted.get(id)?.row.state ?? ask(['stateOf', id]),

    contention: {
      jobIsLocked: (id) => ask(['row', id], related) === 'locked',
      freeRow: (id) => {
        const isOurs = known.rows.get(id)?.mayChange || made.inserted.has(id)
        return isOurs || ask(['freeRow', id]) !== 'locked' ? rows.row(id) : undefined
      },
      keyIsLocked: (key) => keyFound(key).locked === true,
      noteKey: (key) => void changing().notes.push(key),
      isNoted: (key) => made.notes.some((noted) => formatKey(noted) === formatKey(key)),
      takeNotes: (limit) => {
        const notes = ask(['notes', limit])
        if (notes.length > 0) changing().notesTaken.push(...notes)
        return notes
      },
      flowIsLocked: (id) => !made.flows.has(id) && ask(['flow', id], related).locked,
      limitIsLocked: (name) =>
        !made.limits.has(name) &&
        ask(['limit', name], () => places().map((place) => ['limit', place.name])) === 'locked',
      noteLimit: (place) => void changing().limitNotes.push(place),
      isLimitNoted: (name) => made.limitNotes.some((noted) => noted.name === name),
      takeLimitNotes: (limit) => {
        const notes = ask(['limitNotes', limit])
        if (notes.length > 0) changing().limitNotesTaken.push(...notes)
        return notes
      },
    },

    facts: () => made.facts ?? ask(['facts']),
    saveFacts: (facts) => {
      changing().facts = facts
    },

    row: (id) => {
      if (!known.rows.has(id) && !made.inserted.has(id)) ask(['row', id], related)
      return rows.row(id)
    },
    stored: ({ id, queue, lane }) => {
      const stored = ask(['stored', id], sameFor(id, 'stored'))
      if (!stored) throw new RangeError(`no payload of job ${id}`)
      return { ...stored, queue, lane, payload: made.payloads.get(id) ?? stored.payload }
    },
    insert: (row, job) => {
      const inserted = { ...row, sequence: firstNewSequence + made.inserted.size }
      rows.load(inserted)
      changing().inserted.set(row.id, { row: { ...inserted }, job })
      return inserted
    },
    update: (row) => {
      const added = made.inserted.get(row.id)
      if (!added && !known.rows.get(row.id)?.mayChange) throw new Miss([['row', row.id]])
      if (added) made.inserted.set(row.id, { ...added, row: { ...row } })
      else changing().updated.set(row.id, { ...row })
      rows.update(row)
    },
    savePayload: (id, payload) => void changing().payloads.set(id, payload),
    remove: (id) => {
      changing().removed.add(id)
      rows.remove(id)
    },
    mend: (id) => ask(['mend', id]) && rows.row(id),
    isRefusedData: (error) => !(error instanceof Miss) && refusesData(error),

    // A job that has left since may still be the newest of its key: then the next turn is later, and in order.
    turns: (...of) => {
      const [read, changed] = [ask(['turns', ...of], turnsOfRows), rows.turns(...of)]
      const newest = [read.newest, changed.newest].filter((turn) => turn !== undefined)
      return {
        newest: newest.length === 0 ? undefined : Math.max(...newest),
        current: read.current ?? changed.current,
      }
    },
    // Jobs that are due already were read with `due`.
    nextDue: () => {
      const times = [ask(['nextDue', now]), rows.nextDue()].filter((at) => at !== undefined)
      return times.length === 0 ? undefined : Math.min(...times)
    },
    claimsOf: (worker) => {
      const workers = (): string[] =>
        known.has(['workers']) ? known.get(['workers']).map(({ id }) => id) : []
      ask(['claimsOf', worker], () => workers().map((id): Question => ['claimsOf', id]))
      return rows.claimsOf(worker)
    },

    holder: (key) => {
      const changed = made.keys.get(formatKey(key))
      if (changed) return changed.holder
      const found = keyFound(key)
      if (found.locked) throw new Error(`the row of the ordering key ${key.key} is locked`)
      return found.holder
    },
    setHolder: (key, holder) => void changing().keys.set(formatKey(key), { ...key, holder }),
    firstOfKey: (key) => {
      const { jobs, limit } = keyFound(key)
      if (jobs.length === limit && jobs.every(({ id }) => isChanged(id))) throw new Miss(longerLines())
      return rows.firstOfKey(key)
    },

    unique: (name, key) => {
      const changed = made.uniques.get(formatQuestion([name, key]))
      if (changed) return changed.unique
      return ask(['unique', name, key], () =>
        knownRows().flatMap((row) =>
          row.uniqueKey === undefined ? [] : [['unique', row.name, row.uniqueKey]],
        ),
      )
    },
    setUnique: (name, key, unique) =>
      void changing().uniques.set(formatQuestion([name, key]), { name, key, unique }),

    worker: (id) => (made.workers.has(id) ? made.workers.get(id) : ask(['worker', id])),
    workers: () => {
      ask(['workers'])
      return rows.workers()
    },
    saveWorker: (worker) => {
      changing().workers.set(worker.id, worker)
      rows.saveWorker(worker)
    },
    removeWorker: (id) => {
      changing().workers.set(id, undefined)
      rows.removeWorker(id)
    },

    schedule: (name) => (made.schedules.has(name) ? made.schedules.get(name) : ask(['schedule', name])),
    saveSchedule: (name, schedule) => void changing().schedules.set(name, schedule),

    limit: (name) => {
      if (made.limits.has(name)) return made.limits.get(name)
      const found = ask(['limit', name], () => places().map((place) => ['limit', place.name]))
      if (found === 'locked') throw new Error(`the row of limit ${name} is locked`)
      return found
    },
    saveLimit: (limit) => void changing().limits.set(limit.name, limit),
    removeLimit: (name) => void changing().limits.set(name, undefined),
    limitKey: (name, key) => {
      const changed = made.limitKeys.get(formatQuestion([name, key]))
      return changed
        ? changed.row
        : ask(['limitKey', name, key], () => places().map((place) => ['limitKey', place.name, place.key]))
    },
    saveLimitKey: (row) => setLimitKey(row, row),
    removeLimitKey: (place) => setLimitKey(place, undefined),
    waitingKeys: (name, limit) =>
      withChangedKeys(name, ask(['waitingKeys', name, limit + changedKeys(name).length]), limit).filter(
        ({ waits }) => waits,
      ),
    limitKeys: (name, limit) =>
      withChangedKeys(name, ask(['limitKeys', name, limit + changedKeys(name).length]), limit),
    nextLimit: () => {
      const changed = [...made.limits.values(), ...[...made.limitKeys.values()].map(({ row }) => row)]
      const times = [ask(['nextLimit', now]), ...changed.map((row) => row?.admitAt)].filter(
        (at) => at !== undefined,
      )
      return times.length === 0 ? undefined : Math.min(...times)
    },
    heldOf: (name, key) => {
      const read = ask(['heldOf', name, key], () =>
        places().flatMap((place): Question[] => [
          ['heldOf', place.name, undefined],
          ['heldOf', place.name, place.key],
        ]),
      )
      const count = (rowsOf: readonly JobRow[], state: JobState): number =>
        rowsOf.filter(
          (row) =>
            row.state === state && row.limit?.name === name && (key === undefined || row.limit.key === key),
        ).length
      const before = knownRows()
      const after = [...before.map(({ id }) => id), ...made.inserted.keys()].flatMap(
        (id) => rows.row(id) ?? [],
      )
      const more = (state: JobState): number => count(after, state) - count(before, state)
      return { ready: read.ready + more('ready'), running: read.running + more('running') }
    },

    countAtLimit: (name, key, most) =>
      ask(['countAtLimit', name, key, most], () =>
        places().flatMap((place): Question[] => [
          ['countAtLimit', place.name, undefined, most],
          ['countAtLimit', place.name, place.key, most],
        ]),
      ),

    ...flowsOf(ask, made, changing, related),

    setQueueLimit: (queue, limit) => void changing().queueLimits.set(queue, limit),
    running: (queue) => {
      const runs = (row: JobRow | undefined): number =>
        Number(row?.state === 'running' && row.queue === queue)
      const changed = [...made.updated].map(([id, row]) => runs(row) - runs(known.rows.get(id)?.row))
      return changed.reduce((sum, each) => sum + each, ask(['running', queue]))
    },
    setPaused: (queue, by) => void changing().paused.set(queue, by),
    republishQueue: (queue, at) => {
      changing().republish = { queue, now: at }
    },

    addEvent: (event) => void changing().events.push(event),
    removeEvents: (before, limit) => {
      const count = ask(['oldEvents', before, limit])
      if (count > 0) changing().oldEvents = { before, limit }
      return count
    },
    eventsOf: (id) => {
      const stored = ask(['eventsOf', id], sameFor(id, 'eventsOf'))
      const last = stored.at(-1)?.position ?? 0
      const added = made.events.filter(({ jobId }) => jobId === id)
      return [...stored, ...added.map((event, at) => ({ ...event, position: last + at + 1 }))]
    },
  }
  return { store, changes: () => (hasChanges ? made : undefined) }
}
