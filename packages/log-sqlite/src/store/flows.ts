import type { FlowRow, JobStore, MemberRow, NeedRow, Work } from '@errand/core/engine'
import type { FinalState, FlowState, NeedMode, Note } from '@errand/core/ports'
import { finalStates } from '@errand/core/ports'
import type { Row, Statements } from '../statements.ts'
import { json, marks, or, Where } from './sql.ts'

const isFinal = finalStates.map((state) => `'${state}'`).join(', ')

/** Needs, flows, and what is left for later. */
export function flowTables(
  sql: Statements,
): Pick<
  JobStore,
  | 'needsOf'
  | 'openNeeds'
  | 'childrenOf'
  | 'saveNeed'
  | 'removeNeeds'
  | 'flow'
  | 'flows'
  | 'saveFlow'
  | 'addMember'
  | 'members'
  | 'endedFlows'
  | 'removeFlow'
  | 'addWork'
  | 'hasAddedWork'
  | 'takeWork'
> {
  let hasAdded = false
  return {
    needsOf(child) {
      return sql.all('select * from errand_needs where child = ? order by place', child).map(needRow)
    },
    openNeeds(on, limit) {
      return sql
        .all('select * from errand_needs where parent = ? and state is null limit ?', on, limit)
        .map(needRow)
    },
    childrenOf(on, limit) {
      return sql
        .all('select distinct child from errand_needs where parent = ? limit ?', on, limit)
        .map(({ child }) => String(child))
    },
    saveNeed(need) {
      sql.run(
        `insert or replace into errand_needs (child, place, parent, is_flow, mode, name, state, codec, body)
         values (${marks(9)})`,
        need.child,
        need.index,
        need.on,
        Number(need.isFlow),
        need.mode,
        or(need.name),
        or(need.state),
        or(need.body?.codec),
        or(need.body?.text),
      )
    },
    removeNeeds(child) {
      sql.run('delete from errand_needs where child = ?', child)
    },

    flow(id) {
      const row = sql.one('select * from errand_flows where id = ?', id)
      return row && flowRow(row)
    },
    flows({ state, name }, limit, after) {
      const where = new Where()
      if (state !== undefined) where.and('state = ?', state)
      if (name !== undefined) where.and('name = ?', name)
      if (after !== undefined) where.and('sequence < (select sequence from errand_flows where id = ?)', after)
      return sql
        .all(`select * from errand_flows ${where.sql} order by sequence desc limit ?`, ...where.values, limit)
        .map(flowRow)
    },
    saveFlow(flow) {
      const { allowFailures, stopOnFailure, mayFail, cancel, tags, meta } = flow
      const rules = json({ allowFailures, stopOnFailure, mayFail, cancel, tags, meta })
      const counts = [flow.total, flow.succeeded, flow.failed, flow.cancelled, flow.forgiven]
      sql.run(
        `insert into errand_flows (id, name, flow, dispatched_at, state, version, ended_at,
           total, succeeded, failed, cancelled, forgiven, rules)
         values (${marks(13)})
         on conflict (id) do update set state = excluded.state, version = excluded.version, ended_at = excluded.ended_at,
           total = excluded.total, succeeded = excluded.succeeded, failed = excluded.failed,
           cancelled = excluded.cancelled, forgiven = excluded.forgiven, rules = excluded.rules`,
        flow.id,
        or(flow.name),
        or(flow.flow),
        flow.dispatchedAt,
        flow.state,
        flow.version,
        or(flow.endedAt),
        ...counts,
        rules,
      )
    },
    addMember(flow, { id, isFlow }) {
      sql.run(
        `insert into errand_members (flow, place, member, is_flow)
         values (?, (select coalesce(max(place), 0) + 1 from errand_members where flow = ?), ?, ?)`,
        flow,
        flow,
        id,
        Number(isFlow),
      )
    },
    members(flow, after, limit) {
      return sql
        .all(
          'select * from errand_members where flow = ? and place > ? order by place limit ?',
          flow,
          after,
          limit,
        )
        .map((row): MemberRow => ({
          index: Number(row.place),
          id: String(row.member),
          isFlow: row.is_flow === 1,
        }))
    },
    endedFlows(states: readonly FinalState[], until, limit) {
      return sql
        .all(
          `select f.* from errand_flows f
            where f.flow is null and f.ended_at <= ? and f.state in (${marks(states.length)})
              and not exists (select 1 from errand_needs n join errand_jobs j on j.id = n.child
                               where n.parent = f.id and j.state not in (${isFinal}))
            order by f.ended_at limit ?`,
          until,
          ...states,
          limit,
        )
        .map(flowRow)
    },
    removeFlow(id) {
      sql.run('delete from errand_members where flow = ?', id)
      sql.run('delete from errand_flows where id = ?', id)
    },

    addWork(work) {
      hasAdded = true
      sql.run('insert into errand_work (work) values (?)', json(work))
    },
    hasAddedWork: () => hasAdded,
    takeWork(limit) {
      const rows = sql.all('select id, work from errand_work order by id limit ?', limit)
      const last = rows.at(-1)?.id
      if (last !== undefined) sql.run('delete from errand_work where id <= ?', last)
      return rows.map(({ work }) => JSON.parse(String(work)) as Work)
    },
  }
}

function needRow(row: Row): NeedRow {
  return {
    child: String(row.child),
    index: Number(row.place),
    on: String(row.parent),
    isFlow: row.is_flow === 1,
    mode: String(row.mode) as NeedMode,
    name: row.name == null ? undefined : String(row.name),
    state: row.state == null ? undefined : (String(row.state) as FinalState),
    body: row.body == null ? undefined : { codec: String(row.codec), text: String(row.body) },
  }
}

/** What of a flow is written as JSON. */
type Rules = Pick<FlowRow, 'allowFailures' | 'stopOnFailure' | 'mayFail' | 'tags' | 'meta'> & {
  readonly cancel?: Note
}

function flowRow(row: Row): FlowRow {
  const { cancel, ...rules } = JSON.parse(String(row.rules)) as Rules
  return {
    id: String(row.id),
    name: row.name == null ? undefined : String(row.name),
    flow: row.flow == null ? undefined : String(row.flow),
    dispatchedAt: Number(row.dispatched_at),
    state: String(row.state) as FlowState,
    version: Number(row.version),
    endedAt: row.ended_at == null ? undefined : Number(row.ended_at),
    total: Number(row.total),
    succeeded: Number(row.succeeded),
    failed: Number(row.failed),
    cancelled: Number(row.cancelled),
    forgiven: Number(row.forgiven),
    cancel,
    ...rules,
  }
}
