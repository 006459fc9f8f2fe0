import * as fc from 'fast-check'
import { newJob, outcomes, settlement, workerRef } from '@errand/testkit'
import { finalStates, lanes } from '@errand/core/ports'
import type {
  JobLog,
  NewJob,
  NewStep,
  NewWait,
  SettledOutcome,
  Settlement,
  Ticket,
  WorkerRef,
} from '@errand/core/ports'

export const queues = ['a', 'b', 'c']
export const keys = ['k0', 'k1']
const workers: readonly WorkerRef[] = [0, 1, 2].map((n) =>
  workerRef({ id: `w${n}`, leaseMs: 3_000, graceMs: 0 }),
)
const by = { by: 'somebody', reason: 'why not' }

/** One of the jobs dispatched so far, or one that is unknown. */
type Pick = number
export interface Life {
  readonly ids: string[]
  /** Fences of claims that were granted. */
  readonly runs: { id: string; run: number; worker: WorkerRef }[]
}

type Ask = (log: JobLog) => Promise<unknown>

export interface Step {
  /** The method of the log; or how many milliseconds pass. */
  readonly name: keyof JobLog | number
  /** Its arguments depend on the calls so far. Both logs get the same. */
  readonly call: (life: Life) => Ask
}

const pick = fc.nat(1_000)
const picks = fc.array(pick, { minLength: 1, maxLength: 6 })
const worker = fc.constantFrom(...workers)
const queue = fc.constantFrom(...queues)
const findId = (life: Life, number: Pick): string =>
  number % 20 === 0 || life.ids.length === 0 ? 'nobody' : life.ids[number % life.ids.length]!
const makeTicket = (life: Life, number: Pick): Ticket => ({
  id: findId(life, number),
  queue: 'a',
  lane: 'normal',
  log: number % 17 === 0 ? 'another' : 'log',
})

const job: fc.Arbitrary<Partial<NewJob>> = fc.record(
  {
    queue,
    lane: fc.constantFrom(...lanes),
    name: fc.constantFrom('n0', 'n1'),
    ordering: fc.record({ key: fc.constantFrom(...keys), onFailure: fc.constantFrom('block', 'skip') }),
    unique: fc.record(
      {
        key: fc.constantFrom('u0', 'u1'),
        until: fc.constantFrom('finished', 'started'),
        forMs: fc.constantFrom(1_000, 60_000),
      },
      { requiredKeys: ['key', 'until'] },
    ),
    due: fc.record({ delayMs: fc.constantFrom(500, 2_000) }),
    maxCrashes: fc.constantFrom(1, 3),
    onCrash: fc.constantFrom('retry', 'fail'),
    publishGraceMs: fc.constantFrom(0, 30_000),
  },
  { requiredKeys: [] },
)

const outcome = fc.constantFrom(
  outcomes.succeed({ codec: 'json', text: '1' }),
  outcomes.retry(0),
  outcomes.retry(1_000),
  outcomes.exhaust(),
  outcomes.fail(),
  outcomes.fail(),
  outcomes.snooze(500),
  outcomes.park(500),
  outcomes.cancel(),
  outcomes.release(false),
  outcomes.release(true),
  outcomes.completed(),
)

const stepName = fc.constantFrom('s0', 's1', 's2', 's3')
const messageName = fc.constantFrom('m0', 'm1')

const sleepOrMessage = [
  fc.record({
    kind: fc.constant('sleep' as const),
    name: stepName,
    until: fc.record({ delayMs: fc.constantFrom(0, 500, 2_000) }),
  }),
  fc.record({
    kind: fc.constant('message' as const),
    name: stepName,
    message: messageName,
    timeoutMs: fc.constantFrom(undefined, 1_000),
  }),
] as const
const call = fc.record({ kind: fc.constant('call' as const), name: stepName, on: pick })

/** Waits of a suspension. Which job is called depends on the calls so far. */
const suspension = fc.array(fc.oneof(...sleepOrMessage, call), { minLength: 1, maxLength: 4 })
const suspensionWithoutCall: typeof suspension = fc.array(fc.oneof(...sleepOrMessage), {
  minLength: 1,
  maxLength: 4,
})
type Suspension = typeof suspension extends fc.Arbitrary<infer T> ? T : never

function toOutcome(life: Life, how: SettledOutcome | Suspension): SettledOutcome {
  if (!Array.isArray(how)) return how
  const waits = how.map((wait): NewWait =>
    wait.kind === 'call' ? { ...wait, on: findId(life, wait.on) } : wait,
  )
  const unique = [...new Map(waits.map((wait) => [wait.name, wait])).values()]
  return { kind: 'suspend', waits: unique, memoryVersion: 1 }
}

let number = 0
const uuid = (): string => `00000000-0000-4000-8000-${String((number += 1)).padStart(12, '0')}`

/** A call of the log, from what fast-check made up. */
function step<T>(
  name: keyof JobLog,
  given: fc.Arbitrary<T>,
  call: (life: Life, given: T) => Ask,
): fc.Arbitrary<Step> {
  return given.map((value) => ({ name, call: (life) => call(life, value) }))
}

const append = step(
  'append',
  fc.tuple(fc.array(job, { minLength: 1, maxLength: 6 }), fc.boolean()),
  (life, [jobs, again]) => {
    const made = jobs.map((each) => newJob({ id: uuid(), ...each }))
    life.ids.push(...made.map(({ id }) => id))
    return (log) => log.append(again ? [...made, made[0]!] : made)
  },
)
const noteRuns = (life: Life, by: WorkerRef, claims: readonly { id: string; run: number }[]): void => {
  for (const { id, run } of claims)
    if (!life.runs.some((known) => known.id === id && known.run === run))
      life.runs.push({ id, run, worker: by })
}
const request = fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6')
const claim = step(
  'claim',
  fc.tuple(picks, fc.nat(4), worker, request),
  (life, [some, max, by, request]) =>
    async (log) => {
      const verdicts = await log.claim(
        some.map((each) => makeTicket(life, each)),
        max,
        by,
        request,
      )
      noteRuns(
        life,
        by,
        verdicts.flatMap((verdict) => (verdict.verdict === 'run' ? [verdict.claim] : [])),
      )
      return verdicts
    },
)
const take = step(
  'take',
  fc.tuple(
    fc.array(queue, { minLength: 1, maxLength: 4 }),
    fc.integer({ min: 1, max: 4 }),
    worker,
    request,
    fc.nat(3),
    fc.boolean(),
  ),
  (life, [from, max, by, request, fromLowest, overdue]) =>
    async (log) => {
      const claims = await log.take(from, max, by, request, { fromLowest, overdue })
      noteRuns(life, by, claims)
      return claims
    },
)
const settle = (waits: typeof suspension): fc.Arbitrary<Step> =>
  step(
    'settle',
    fc.array(fc.tuple(pick, fc.oneof(outcome, waits), fc.nat(9)), { minLength: 1, maxLength: 6 }),
    (life, some) => {
      const by = life.runs.length === 0 ? workers[0]! : life.runs[some[0]![0] % life.runs.length]!.worker
      const own = life.runs.filter((run) => run.worker === by)
      const settlements = some.flatMap(([number, how, twist]): Settlement[] => {
        const run = own[number % Math.max(own.length, 1)]
        if (!run) return []
        return [settlement(twist === 0 ? { id: run.id, run: run.run + 1 } : run, toOutcome(life, how))]
      })
      return (log) => log.settle(settlements, by)
    },
  )
const remember = step(
  'remember',
  fc.array(fc.tuple(pick, stepName, fc.nat(9)), { minLength: 1, maxLength: 6 }),
  (life, some) => {
    const by = life.runs.length === 0 ? workers[0]! : life.runs[some[0]![0] % life.runs.length]!.worker
    const own = life.runs.filter((run) => run.worker === by)
    const steps = some.flatMap(([number, name, twist]): NewStep[] => {
      const fence = own[number % Math.max(own.length, 1)]
      if (!fence) return []
      const { id, run } = fence
      const result = twist === 1 ? undefined : { codec: 'json', text: `${twist}` }
      return [{ id, run: twist === 0 ? run + 1 : run, name, memoryVersion: 1, durationMs: 1, result }]
    })
    return (log) => log.remember(steps, by)
  },
)
const send = step(
  'send',
  fc.array(fc.tuple(pick, messageName, fc.nat(9)), { minLength: 1, maxLength: 4 }),
  (life, some) => {
    const messages = some.map(([number, name, twist]) => ({
      id: twist === 0 ? '00000000-0000-4000-9000-000000000000' : uuid(),
      job: findId(life, number),
      name,
      payload: { codec: 'json', text: `${twist}` },
      by: 'somebody',
    }))
    return (log) => log.send(messages)
  },
)
const beat = step(
  'beat',
  fc.tuple(worker, fc.subarray(queues), fc.array(pick, { maxLength: 2 }), fc.nat(5)),
  (life, [by, served, some, gives]) => {
    const fences = some.flatMap((number) => life.runs[number % Math.max(life.runs.length, 1)] ?? [])
    const progress = fences.map(({ id, run }) => ({ id, run, value: 50, message: 'half' }))
    const givenUp = gives === 0 ? fences.map(({ id, run }) => ({ id, run })) : []
    return (log) =>
      log.beat(by, { queues: served.length === 0 ? queues : served, taking: true, progress, givenUp })
  },
)
const sweep = step(
  'sweep',
  fc.tuple(fc.constantFrom(1, 2, 3, 100), fc.boolean(), fc.subarray(queues), fc.subarray(queues)),
  (_life, [limit, republish, own, skipQueues]) =>
    (log) =>
      log.sweep({ limit, republish, queues: own, skipQueues }),
)
const operators = [
  step(
    'cancel',
    picks,
    (life, some) => (log) =>
      log.cancel(
        some.map((each) => findId(life, each)),
        by,
      ),
  ),
  step('cancel', fc.constant(0), (life) => (log) => log.cancel(life.ids.slice(-8), by)),
  step(
    'replay',
    fc.tuple(picks, fc.boolean()),
    (life, [some, forget]) =>
      (log) =>
        log.replay(
          some.map((each) => findId(life, each)),
          by,
          { forget },
        ),
  ),
  step(
    'skip',
    picks,
    (life, some) => (log) =>
      log.skip(
        some.map((each) => findId(life, each)),
        by,
      ),
  ),
  step(
    'change',
    fc.tuple(
      pick,
      fc.record(
        {
          lane: fc.constantFrom(...lanes),
          queue,
          runAt: fc.nat(100_000),
          payload: fc.constant({ codec: 'json', text: '"new"' }),
        },
        { requiredKeys: [] },
      ),
    ),
    (life, [number, to]) =>
      (log) =>
        log.change(findId(life, number), to, by),
  ),
  step('pause', queue, (_life, name) => (log) => log.pause(name, by)),
  step('resume', queue, (_life, name) => (log) => log.resume(name, by)),
  step('stopWorkers', fc.option(worker), (_life, one) => (log) => log.stopWorkers(one?.id)),
  step(
    'setTransfer',
    fc.nat(2),
    (_life, after) => (log) =>
      log.setTransfer({ from: { place: 'x', name: 'x' }, to: { place: 'y', name: 'y' } } as never, after),
  ),
  step(
    'prune',
    fc.tuple(fc.constantFrom(0, 2_000), fc.constantFrom(0, 5_000), fc.constantFrom(1, 2, 100)),
    (_life, [succeededMs, failedMs, limit]) =>
      (log) =>
        log.prune({ succeededMs, failedMs, limit }),
  ),
]
const relay = [
  step(
    'published',
    picks,
    (life, some) => (log) => log.published(some.map((each) => makeTicket(life, each))),
  ),
  step(
    'expedite',
    fc.tuple(fc.subarray(queues), fc.constantFrom(1, 100)),
    (_life, [from, limit]) =>
      (log) =>
        log.expedite(from, { limit }),
  ),
  step('passNotes', fc.constant(10), (_life, limit) => (log) => log.passNotes(limit)),
  step('leave', worker, (_life, by) => (log) => log.leave(by)),
]
const looks = [
  step('get', pick, (life, number) => (log) => log.get(findId(life, number))),
  step('unfinished', picks, (life, some) => (log) => log.unfinished(some.map((each) => findId(life, each)))),
  step(
    'list',
    fc.tuple(
      fc.record({ queue, state: fc.constantFrom('ready', ...finalStates) }, { requiredKeys: [] }),
      fc.integer({ min: 1, max: 5 }),
    ),
    (_life, [filter, limit]) =>
      (log) =>
        log.list(filter, { limit }),
  ),
  step('memory', pick, (life, number) => (log) => log.memory(findId(life, number))),
  step('readHistory', pick, (life, number) => (log) => log.readHistory(findId(life, number))),
  step('read', fc.integer({ min: 1, max: 9 }), (_life, limit) => (log) => log.read({ limit, queue: 'a' })),
  step('end', fc.constant(0), () => (log) => log.end()),
  step('queues', fc.constant(0), () => (log) => log.queues()),
  step('workers', fc.constant(0), () => (log) => log.workers()),
  step('blockedKeys', fc.constant(9), (_life, limit) => (log) => log.blockedKeys(limit)),
  step('transfer', fc.constant(0), () => (log) => log.transfer()),
]
const pass = fc
  .constantFrom(200, 600, 1_500, 4_000)
  .map((ms): Step => ({ name: ms, call: () => async () => ms }))
const livesOf = (waits: typeof suspension): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 8, arbitrary: append },
      { weight: 6, arbitrary: claim },
      { weight: 8, arbitrary: take },
      { weight: 10, arbitrary: settle(waits) },
      { weight: 5, arbitrary: remember },
      { weight: 5, arbitrary: send },
      { weight: 5, arbitrary: beat },
      { weight: 6, arbitrary: sweep },
      { weight: 9, arbitrary: fc.oneof(...operators) },
      { weight: 3, arbitrary: fc.oneof(...relay) },
      { weight: 4, arbitrary: fc.oneof(...looks) },
      { weight: 6, arbitrary: pass },
    ),
    { minLength: 20, maxLength: 120, size: 'max' },
  )

/** Random calls of a job log: one after another, or time that passes. */
export const randomLife: fc.Arbitrary<Step[]> = livesOf(suspension)
/** The same; no job waits for the end of another one. */
export const randomLifeWithoutCalls: fc.Arbitrary<Step[]> = livesOf(suspensionWithoutCall)
