export interface Edit {
  /** In `packages/`. */
  readonly file: string
  /** A text that is there exactly once. */
  readonly find: string
  readonly replace: string
}

export interface PlantedBug {
  readonly name: string
  /** What is wrong with the changed code, for people. */
  readonly what: string
  /** Invariants that break: the simulation must find one of these. */
  readonly breaks: readonly string[]
  readonly edits: readonly Edit[]
}

function bug(
  name: string,
  what: string,
  breaks: readonly string[],
  file: string,
  find: string,
  replace: string,
): PlantedBug {
  return { name, what, breaks, edits: [{ file, find, replace }] }
}

/** Bugs that the simulation must find: each is planted in the real code, as it is loaded. */
export const plantedBugs: readonly PlantedBug[] = [
  bug(
    'no-fence',
    'The fence is gone: a result of any run of any worker is recorded.',
    ['I3', 'I1', 'outcome'],
    'core/src/engine/settle.ts',
    "return row.state === 'running' && row.run === fence.run && row.worker === by.id",
    "return row.state === 'running'",
  ),
  bug(
    'rest-of-message-dropped',
    'A message is acked with its first ticket: what the worker has not taken of it is gone from the broker.',
    ['ack'],
    'core/src/driver-kit/received.ts',
    '    if (this.#acked.size < this.parts.tickets.length) return Promise.resolve()\n',
    '',
  ),
  bug(
    'fence-without-run',
    'The fence compares the worker and not the run.',
    ['outcome', 'I1', 'I6'],
    'core/src/engine/settle.ts',
    'row.run === fence.run && row.worker === by.id',
    'row.worker === by.id',
  ),
  bug(
    'ack-before-claim',
    'Tickets are acked before the claim is asked for.',
    ['ack'],
    'core/src/worker/intake/ticket-claims.ts',
    'const verdicts = await grants.claim(',
    "for (const each of deliveries) this.#tell(each, 'ack')\n      const verdicts = await grants.claim(",
  ),
  bug(
    'ack-without-decision',
    'Tickets are acked when the log has not answered what becomes of them.',
    ['ack'],
    'core/src/worker/intake/ticket-claims.ts',
    "for (const delivery of deliveries) this.#tell(delivery, 'release')",
    "for (const delivery of deliveries) this.#tell(delivery, 'ack')",
  ),
  bug(
    'event-apart',
    'Events are written after the transaction of their state.',
    ['I7'],
    'core/src/engine/moves.ts',
    '  store.update(row)\n  note(store, now, row, type, noted)',
    '  store.update(row)\n  void Promise.resolve().then(() => note(store, now, row, type, noted))',
  ),
  {
    name: 'two-sweepers',
    what: 'A sweep finds lost runs in one transaction and gives them back in the next, so two sweepers take the same.',
    breaks: ['I7', 'I5'],
    edits: [
      {
        file: 'core/src/engine/job-log.ts',
        find: 'sweep: (options) => host.write((store, now) => sweep(store, now, options), calls.sweep(options)),',
        replace: `sweep: async (options) => {
      const lost = await host.read((store, now) => store.lost(now, options.limit), {})
      return host.write((store, now) => sweep(store, now, { ...options, lost }), {})
    },`,
      },
      {
        file: 'core/src/engine/sweep.ts',
        find: 'mayBeLost ? store.lost(now, options.limit) : []',
        replace: 'mayBeLost ? options.lost : []',
      },
    ],
  },
  bug(
    'unique-freed-at-start',
    'A unique key that is held until the end is freed at the start.',
    ['unique'],
    'core/src/engine/grant.ts',
    "if (row.uniqueUntil === 'started') freeUnique",
    'freeUnique',
  ),
  bug(
    'unique-never-freed',
    'A unique key stays with a job that has ended.',
    ['leftover', 'unique'],
    'core/src/engine/keys.ts',
    "  freeUnique(store, now, row, row.state === 'succeeded')\n",
    '',
  ),
  bug(
    'key-of-waiting-holder',
    'An ordering key whose holder waits for its retry is given to the next dispatch.',
    ['I5'],
    'core/src/engine/keys.ts',
    'if (holder !== undefined) return holder === row.id',
    "if (holder !== undefined && store.row(holder)?.state !== 'scheduled') return holder === row.id",
  ),
  bug(
    'blocked-key-passed-on',
    'A failed job passes its ordering key on although its policy is to block.',
    ['I5'],
    'core/src/engine/keys.ts',
    "row.state === 'failed' && row.onFailure === 'block'",
    'false',
  ),
  bug(
    'due-without-key',
    'A job that becomes due is ready although another job holds its key.',
    ['I5'],
    'core/src/engine/sweep.ts',
    'const state = passGates(store, row, { runAt: now, now, publishAfter: now + publishGraceMs })',
    `const publishAfter = now + publishGraceMs
      const state = row.limit ? passGates(store, row, { runAt: now, now, publishAfter }) : 'ready'
      if (!row.limit) readyFrom(store, row, publishAfter)`,
  ),
  bug(
    'run-not-counted',
    'A start does not raise the run counter.',
    ['I7', 'I3'],
    'core/src/engine/grant.ts',
    'row.run += 1',
    '',
  ),
  bug(
    'attempt-not-counted',
    'A start does not raise the attempt counter.',
    ['I7'],
    'core/src/engine/grant.ts',
    'row.attempt += 1',
    '',
  ),
  bug(
    'crashed-runs-again',
    "A job with onCrash: 'fail' runs again after a crash.",
    ['I6'],
    'core/src/engine/sweep.ts',
    "row.onCrash === 'fail' || ",
    '',
  ),
  bug(
    'never-overdue',
    'A ready job whose ticket was lost is never overdue: neither published again nor taken.',
    ['liveness'],
    'core/src/engine/memory-store.ts',
    'inQueue(row.queue) && (row.publishAfter ?? 0) <= now',
    'inQueue(row.queue) && (row.publishAfter ?? 0) < 0',
  ),
  bug(
    'relay-takes-what-others-serve',
    'A relay publishes again what only another live worker serves, and so hides it from that worker.',
    ['liveness'],
    'core/src/engine/sweep.ts',
    'filter((queue) => !own.includes(queue))',
    'filter((queue) => queue !== queue)',
  ),
  bug(
    'finished-starts-again',
    'The ticket of a finished or cancelled job is granted.',
    ['I4', 'I7'],
    'core/src/engine/grant.ts',
    "    if (isFinal(row.state) || knownState(row.state) === 'unknown')\n      return { ticket, verdict: 'drop', why: 'finished' }\n",
    '',
  ),
  bug(
    'cancelled-retries',
    'A job whose cancellation was requested is retried after an error.',
    ['I7'],
    'core/src/engine/settle.ts',
    'if (cancel || retryInMs === undefined) {',
    'if (retryInMs === undefined) {',
  ),
  bug(
    'stored-twice',
    'An id that the log has already is stored once more.',
    ['I7'],
    'core/src/engine/append.ts',
    "  if (store.row(job.id)) return { id: job.id, status: 'duplicate' }\n",
    '',
  ),
  bug(
    'outcome-forgotten',
    'An outcome that the log did not answer is not offered again.',
    ['I6'],
    'core/src/worker/run/settler.ts',
    "if (this.#givenUp.signal.aborted || isErrandError(error, 'E_CLOSED')) throw error",
    'throw error',
  ),
  bug(
    'stray-kept',
    'A claim whose answer was lost is not given back.',
    ['liveness'],
    'core/src/worker/lease/reconciler.ts',
    'if (this.#isLost(stray, sentMs)) this.#giveBack(claim)',
    '',
  ),
  bug(
    'prefetch-forgets',
    'Prefetched jobs whose slots do not come free are dropped instead of given back.',
    ['liveness', 'stop', 'I1'],
    'core/src/worker/intake/prefetched.ts',
    'for (const job of held) job.giveBack()',
    '',
  ),
  bug(
    'prefetch-leaks',
    'A prefetched job that is given back keeps its room.',
    ['liveness', 'idle'],
    'core/src/worker/intake/prefetched.ts',
    'this.#gaveBack(held.length)',
    '',
  ),
  bug(
    'slots-leak',
    'The slots of tickets that were refused are not given back.',
    ['idle', 'liveness'],
    'core/src/worker/intake/ticket-claims.ts',
    'using seats = this.#parts.demand.slots',
    'const seats = this.#parts.demand.slots',
  ),
  bug(
    'begins-after-lease',
    'A handler begins although the lease of its worker is out.',
    ['lease'],
    'core/src/worker/run/runner.ts',
    "if (beats.leaseLeftMs() <= 0) return 'lease-out'",
    '',
  ),
  bug(
    'lease-from-answer',
    'A lease counts from the answer to a beat instead of from its sending.',
    ['lease', 'I3', 'I6'],
    'core/src/worker/lease/beater.ts',
    'leaseUntilMs: sentMs + leaseMs',
    'leaseUntilMs: clock.monotonicMs() + leaseMs',
  ),
  bug(
    'subscription-not-rebuilt',
    'A subscription that was lost is not opened again: its worker is up, and takes nothing.',
    ['idle'],
    'core/src/worker/intake/feed.ts',
    '      this.#lost = true\n      throw error',
    "      this.#lost = true\n      if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve))",
  ),
  bug(
    'schedule-not-compared',
    'A change of a schedule is written whatever became of it since it was read.',
    ['schedule'],
    'core/src/engine/schedules.ts',
    '    if ((store.schedule(name)?.revision ?? 0) !== after) return { saved: false }\n',
    '',
  ),
  {
    name: 'tick-twice',
    what: 'A tick does not look whether its row was changed, and its job has an id by chance.',
    breaks: ['I16'],
    edits: [
      {
        file: 'core/src/engine/schedules.ts',
        find: '    if ((store.schedule(name)?.revision ?? 0) !== after) return { saved: false }\n',
        replace: '',
      },
      {
        file: 'core/src/schedule/ticker.ts',
        find: 'id: makeTickId(uid, atMs)',
        replace: 'id: crypto().randomUUID()',
      },
    ],
  },
  bug(
    'next-from-own-code',
    'The next tick follows from the code of the worker that ticks, and not from the row.',
    ['schedule'],
    'core/src/schedule/ticker.ts',
    'due = findDue(name, before, now)',
    `const own = this.#parts.schedules.get(name)
      due = findDue(name, own ? { ...before, rules: own.rules } : before, now)`,
  ),
  bug(
    'tick-apart',
    'The job of a tick is stored before the change of its schedule, and not with it.',
    ['schedule'],
    'core/src/schedule/ticker.ts',
    '    const saved = await log.saveSchedules(changes)\n    const amended',
    `    const jobs = changes.flatMap(({ job }) => job ?? [])
    const stored = await log.append(jobs)
    const alone = await log.saveSchedules(changes.map(({ job, ...change }) => change))
    const saved = alone.map((answer, index) => ({
      ...answer,
      appended: stored[jobs.indexOf(changes[index]?.job)],
    }))
    const amended`,
  ),
  {
    name: 'paused-ticks',
    what: 'A paused schedule ticks.',
    breaks: ['schedule'],
    edits: [
      {
        file: 'core/src/schedule/body.ts',
        find: 'return pausedBy === undefined ? nextAt : undefined',
        replace: 'return nextAt',
      },
      {
        file: 'core/src/schedule/ticker.ts',
        find: 'if (nextAt === undefined || pausedBy !== undefined) return { body }',
        replace: 'if (nextAt === undefined) return { body }',
      },
    ],
  },
  bug(
    'missed-ticks-run',
    "A missed tick of a schedule with missed: 'skip' runs.",
    ['schedule'],
    'core/src/schedule/due-tick.ts',
    "return missed === 'last'",
    "return missed !== 'none'",
  ),
  bug(
    'declared-from-now',
    'A schedule goes on from now when another worker declares it, although its times are the same.',
    ['schedule'],
    'core/src/schedule/ticker.ts',
    'writeBody(row, { ...before, ...declared }) }',
    'writeBody(row, { ...before, ...declared, nextAt: findNext(rules, now) }) }',
  ),
  bug(
    'overlap-ignored',
    "A schedule with overlap: 'skip' dispatches a tick while the job of the last one has not ended.",
    ['schedule'],
    'core/src/schedule/ticker.ts',
    "if (isLive && before.rules.overlap === 'skip')",
    "if (isLive && before.rules.overlap === 'none')",
  ),
  bug(
    'trigger-in-passing',
    'A trigger of a schedule is taken for done when the schedule ticks.',
    ['schedule', 'liveness'],
    'core/src/schedule/ticker.ts',
    'return { body: { ...next, lastAt: atMs }, run:',
    'return { body: { ...next, lastAt: atMs, triggers: 0, triggered: 0 }, run:',
  ),
  bug(
    'one-place-more',
    'A limit lets go one job more than it has places.',
    ['limit'],
    'core/src/engine/admit.ts',
    'const places = (total ?? Infinity) - ready - running',
    'const places = (total ?? Infinity) - ready - running + 1',
  ),
  bug(
    'gate-without-limit',
    'A job whose time has come, or that is replayed, becomes ready past its limit.',
    ['limit'],
    'core/src/engine/gates.ts',
    'row.atLimit = isHolder && row.limit !== undefined',
    'row.atLimit = isHolder && row.limit !== undefined && row.version === 0',
  ),
  bug(
    'heir-without-limit',
    'The next job of an ordering key becomes ready past its limit.',
    ['limit'],
    'core/src/engine/keys.ts',
    '    if (next.limit) {',
    '    if (next.limit && next.version === 0) {',
  ),
  bug(
    'place-not-given-at-retry',
    'A job that waits for its retry gives its place up, and nobody gets it.',
    ['limit'],
    'core/src/engine/settle.ts',
    "if (row.limit && row.state !== 'ready') left.push(row)",
    'if (row.limit && isFinal(row.state)) left.push(row)',
  ),
  bug(
    'lost-place-not-given',
    'The place of a job whose run was lost is not passed on.',
    ['limit'],
    'core/src/engine/sweep.ts',
    '    else moved.push(row)\n',
    '',
  ),
  bug(
    'token-not-taken',
    'A job that is let go takes no token of the rate.',
    ['limit'],
    'core/src/engine/admit.ts',
    'if (rate && admitted.length > 0) limit.tat',
    'if (rate && admitted.length > 1_000) limit.tat',
  ),
  bug(
    'turn-not-moved',
    'A key that was let go keeps its turn, and goes first again.',
    ['limit'],
    'core/src/engine/admit.ts',
    '    key.turn = limit.turn\n',
    '',
  ),
  bug(
    'closed-key-admits',
    'A key that is closed lets jobs go.',
    ['limit'],
    'core/src/engine/admit.ts',
    'const closedUntil = closed && closed.until > now ?',
    'const closedUntil = closed && key === undefined && closed.until > now ?',
  ),
  bug(
    'full-key-forgotten',
    'A key that was full is not looked at again when one of its jobs has ended.',
    ['limit'],
    'core/src/engine/admit.ts',
    'if (!row.waits) store.saveLimitKey(',
    'if (!row.waits && store.heldOf(name, key).running === 0) store.saveLimitKey(',
  ),
]
