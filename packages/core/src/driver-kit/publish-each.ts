import type { Ticket } from '../job/ticket.ts'
import type { PublishReport } from '../ports/driver.ts'
import { unlessAborted } from '../unless-aborted.ts'
import type { EntryResult } from './entry-batcher.ts'

/**
 * Sends tickets one by one, as an `EntryBatcher` takes them, and reports what is known of them: at the latest when the
 * signal aborts. Requests that are under way then go on, because other publishes share them.
 * @throws what `send` threw, when every ticket failed so: then nothing is known.
 */
export async function publishEach(
  tickets: readonly Ticket[],
  signal: AbortSignal | undefined,
  send: (ticket: Ticket) => Promise<EntryResult>,
): Promise<PublishReport> {
  const accepted: Ticket[] = []
  const refused: { readonly ticket: Ticket; readonly why: string }[] = []
  let failure: { readonly error: unknown } | undefined
  const sent = tickets.map(async (ticket) => {
    try {
      const result = await send(ticket)
      if (result.done) accepted.push(ticket)
      else
        refused.push({
          ticket,
          why: result.message === '' ? result.code : `${result.code}: ${result.message}`,
        })
    } catch (error) {
      // What an aborted publish no longer sends is unknown, and no failure.
      if (signal?.aborted !== true) failure ??= { error }
    }
  })
  await unlessAborted(Promise.all(sent), signal, () => undefined)
  if (failure && accepted.length + refused.length === 0) throw failure.error
  // Copies: what is answered later must not change the report.
  return { accepted: [...accepted], refused: [...refused] }
}
