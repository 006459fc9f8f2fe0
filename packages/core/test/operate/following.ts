import type { JobEvent } from '../../src/index.ts'

/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export const turns = async (count: number): Promise<void> => {
  for (let index = 0; index < count; index += 1) await turn()
}

/** Follows in the background, and keeps what it has seen. */
export function follow(events: AsyncIterable<JobEvent>): { seen: JobEvent[]; done: Promise<void> } {
  const seen: JobEvent[] = []
  const done = (async () => {
    for await (const event of events) seen.push(event)
  })()
  return { seen, done }
}

export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns += 1) {
    if (turns > 1_000) throw new Error('it did not happen')
    await turn()
  }
}
