import { isFinal } from '@errand/core/ports'
import type { JobRow } from '@errand/core/engine'
import type { EventRecord } from '@errand/core/ports'
import { checkHistory, readDispatched, readFlows, readHistory, readNeeds } from '@errand/testkit/history'
import type { Answered } from './dispatching.ts'
import { runOfReason } from './jobs.ts'
import type { Stage } from './stage.ts'
import { heldUnique, uniqueOverlaps } from './unique.ts'

/** Checks what must be true once all is quiet. Reports to the stage what is not. */
export async function check(stage: Stage, answered: readonly Answered[]): Promise<void> {
  const { log, ledger } = stage
  const events = await readHistory(log.direct)
  const ids = await readDispatched(log.direct)
  const rows = ids.flatMap((id) => log.store.row(id) ?? [])
  const live = rows.filter(({ state }) => !isFinal(state)).map(({ id }) => id)
  const dispatched = rows.map(({ id, onFailure, onCrash }) => ({
    id,
    onFailure,
    onCrash,
    tick: stage.story.findTick(id),
  }))
  for (const { invariant, jobId, text } of checkHistory({
    events,
    dispatched,
    ledger: ledger.lines,
    live,
    needs: await readNeeds(log.direct, events),
    flows: await readFlows(log.direct),
  })) {
    stage.found(invariant, `job ${jobId} ${text}`)
  }
  checkOutcomes(stage, events)
  const eventsOf = Map.groupBy(events, ({ jobId }) => jobId)
  checkAnswers(stage, answered, eventsOf)
  for (const text of uniqueOverlaps(rows, eventsOf)) stage.found('unique', text)
  checkLeftovers(stage, rows)
  stage.limits.check(log.store, rows)
  if (stage.scenario.flows) checkFlowsAtRest(stage, rows)
}

/** The recorded outcome of a run must be what its own handler said. */
function checkOutcomes(stage: Stage, events: readonly EventRecord[]): void {
  for (const { jobId, type, run, data, body } of events) {
    const from = runOfReason(`${data.reason ?? ''} ${body?.text ?? ''}`)
    if (from !== undefined && from !== run) {
      stage.found('outcome', `${type} of run ${run} of job ${jobId} is what run ${from} said`)
    }
  }
}

/** An answered dispatch must be in the log. A duplicate must be of a job that held the key at that time. */
function checkAnswers(
  stage: Stage,
  answered: readonly Answered[],
  eventsOf: ReadonlyMap<string, readonly EventRecord[]>,
): void {
  for (const { id, status, isOwn, fromMs, toMs } of answered) {
    const row = stage.log.store.row(id)
    if (!row) stage.found('I1', `job ${id} was answered as ${status}, and is not in the log`)
    else if (status === 'added' || isOwn) continue
    else if (!heldUnique(row, eventsOf.get(id) ?? [], fromMs, toMs)) {
      stage.found('unique', `a dispatch was a duplicate of job ${id}, which held nothing then`)
    }
  }
}

/** Nothing that has ended is waited for, every flow has ended, and nothing is left for later. */
function checkFlowsAtRest(stage: Stage, rows: readonly JobRow[]): void {
  const { store } = stage.log
  for (const { id } of rows.filter(({ hasNeeds }) => hasNeeds)) {
    for (const { on, state } of store.needsOf(id)) {
      const ended = store.flow(on)?.state ?? store.row(on)?.state
      if (state === undefined && ended !== undefined && ended !== 'running' && isFinal(ended))
        stage.found('leftover', `job ${id} waits for ${on}, which is ${ended}`)
    }
  }
  for (const { id, state } of store.flows({}, 1_000, undefined))
    if (state === 'running') stage.found('flow', `flow ${id} has not ended`)
  for (const work of store.takeWork(10))
    stage.found('leftover', `this was left for later: ${JSON.stringify(work)}`)
}

/** Ended jobs must hold no claim and no key. */
function checkLeftovers(stage: Stage, rows: readonly JobRow[]): void {
  const { log } = stage
  for (const row of rows) {
    const { id, name, queue, state, uniqueKey, orderingKey } = row
    if (state === 'running') stage.found('leftover', `job ${id} is still claimed by ${row.worker}`)
    const unique = uniqueKey === undefined ? undefined : log.store.unique(name, uniqueKey)
    if (unique?.jobId === id && isFinal(state) && unique.freeAt === undefined) {
      stage.found('leftover', `job ${id} is ${state}, and still holds its unique key`)
    }
    if (orderingKey === undefined) continue
    const holder = log.store.holder({ queue, key: orderingKey })
    const isBlocking = state === 'failed' && row.onFailure === 'block'
    if (holder === id && isFinal(state) && !isBlocking) {
      stage.found('leftover', `job ${id} is ${state}, and still holds its ordering key`)
    }
    if (holder === undefined && !isFinal(state)) {
      stage.found('leftover', `job ${id} is ${state}, and nobody holds its ordering key`)
    }
  }
}
