// What must be true of flows and of jobs with steps, once all is quiet, besides what the history shows.
import { DatabaseSync } from 'node:sqlite'
import { isFinal } from '@errand/core/ports'
import type { EventRecord, JobLog } from '@errand/core/ports'
import { onServer } from '../services/private-postgres.ts'
import { checkMemory } from '../simulation/step-rules.ts'
import { readEffects } from './app/effects.ts'
import { readStepLines } from './app/step-lines.ts'
import type { PlannedSteps } from './flow-plan.ts'
import { readSchema, toServer } from './urls.ts'

/** Where rows wait that are to be looked at again. */
const noteTables = ['work_notes', 'key_notes', 'limit_notes', 'message_notes']

/** How many notes are left in the log of this URL. */
export async function countNotes(url: string): Promise<number> {
  if (url.startsWith('sqlite:')) {
    const file = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5_000 })
    try {
      return Number(file.prepare('select count(*) as count from errand_work').get()?.['count'])
    } finally {
      file.close()
    }
  }
  const counts = noteTables.map((table) => `(select count(*) from ${readSchema(url)}.${table})`)
  return onServer(toServer(url), async (client) => {
    const { rows } = await client.query<{ count: string }>(`select ${counts.join(' + ')} as count`)
    return Number(rows[0]?.count)
  })
}

/** Jobs that wait for what has ended. */
export async function findForgotten(log: JobLog, jobs: Iterable<string>): Promise<readonly string[]> {
  const found: string[] = []
  for (const id of jobs)
    for (const { on, isFlow, state } of await log.needs(id)) {
      if (state !== undefined) continue
      const ended = isFlow ? (await log.readFlow(on))?.state : (await log.get(on))?.state
      if (ended !== undefined && ended !== 'running' && isFinal(ended))
        found.push(`job ${id} waits for ${on}, which is ${ended}`)
    }
  return found
}

interface Witness {
  readonly url: string
  readonly ledger: string
  readonly log: JobLog
  readonly events: readonly EventRecord[]
  /** The messages that were acknowledged, by their job. */
  readonly sent: ReadonlyMap<string, readonly string[]>
}

/**
 * I12, I14 and I15; a step acts again only if its run threw in it, or died before its record; one in a transaction has one effect, and
 * none if it is not stored.
 */
export async function checkStepped(
  plans: readonly PlannedSteps[],
  { url, ledger, log, events, sent }: Witness,
): Promise<readonly string[]> {
  const { acts, seen } = readStepLines(ledger)
  const [actsOf, seenOf] = [Map.groupBy(acts, ({ job }) => job), Map.groupBy(seen, ({ job }) => job)]
  const eventsOf = Map.groupBy(events, ({ jobId }) => jobId)
  const effects = Map.groupBy(await readEffects(url), (row) => row)
  const wrong: string[] = []
  for (const { id, parts } of plans) {
    const its = {
      id,
      memory: await log.memory(id),
      events: eventsOf.get(id) ?? [],
      acts: actsOf.get(id) ?? [],
      seen: seenOf.get(id) ?? [],
      sent: sent.get(id) ?? [],
    }
    wrong.push(...checkMemory(its).map(({ invariant, text }) => `${invariant} ${text}`))
    const stored = new Map(its.memory.steps.map(({ name, run }) => [name, run]))
    const lostIn = new Set(its.events.flatMap(({ type, run }) => (type === 'lost' ? [run] : [])))
    for (const [name, lines] of Map.groupBy(its.acts, (line) => line.name))
      for (const [run, again] of Map.groupBy(lines, (line) => line.run)) {
        if (again.length > 1)
          wrong.push(`step ${name} of job ${id} acted ${again.length} times in run ${run}`)
        const planned = parts[Number(/^part-(\d+)/.exec(name)?.[1])]
        const threw = planned?.does === 'step' && planned.throwsIn === run
        if (stored.get(name) !== run && !lostIn.has(run) && !threw)
          wrong.push(
            `step ${name} of job ${id} acted in run ${run}, which neither threw nor died, and is not stored`,
          )
      }
    for (const [index, { does }] of parts.entries()) {
      if (does !== 'inside') continue
      const name = `part-${index}`
      const [has, should] = [effects.get(`${id}/${name}`)?.length ?? 0, stored.has(name) ? 1 : 0]
      if (has !== should)
        wrong.push(`step ${name} of job ${id} has ${has} effects, and should have ${should}`)
    }
    const succeeded = its.events.some(({ type }) => type === 'succeeded')
    if (!succeeded) continue
    for (const [index, { does }] of parts.entries())
      if ((does === 'step' || does === 'inside') && !stored.has(`part-${index}`))
        wrong.push(`job ${id} has succeeded without its step part-${index}`)
  }
  return wrong
}
