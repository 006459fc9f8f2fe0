import type { Tick } from '../define/schedule.ts'

/** The meta entry of a tick's job. It is not passed on to children, and handlers see `ctx.tick` instead. */
const entry = 'errand.tick'

type Meta = Readonly<Record<string, string>>

export function formatTick({ schedule, at, previous, missed }: Tick): Meta {
  return { [entry]: JSON.stringify([schedule, at.getTime(), previous?.getTime() ?? null, missed]) }
}

/** The tick of a job's meta, and the meta without it. */
export function splitMeta(meta: Meta): { readonly tick?: Tick | undefined; readonly meta: Meta } {
  const text = meta[entry]
  if (text === undefined) return { meta }
  const { [entry]: _, ...others } = meta
  return { tick: readTick(text), meta: others }
}

function readTick(text: string): Tick | undefined {
  try {
    const [schedule, at, previous, missed] = JSON.parse(text) as [string, number, number | null, number]
    return {
      schedule,
      at: new Date(at),
      previous: previous === null ? undefined : new Date(previous),
      missed,
    }
  } catch {
    return undefined
  }
}
