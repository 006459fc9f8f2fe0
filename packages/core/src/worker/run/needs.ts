import type { NeedEnd } from '../../define/need.ts'
import type { ResolvedNeed } from '../../define/need.ts'
import { ErrandError } from '../../errors.ts'
import { errorFrom } from '../../failure/from-failure.ts'
import { decoded, decodedFailure } from '../../operate/decode.ts'
import { asError, asResult } from '../../ports/codec.ts'
import type { Codec } from '../../ports/codec.ts'
import type { NeedRecord } from '../../ports/flows.ts'
import type { JobLog } from '../../ports/job-log.ts'

/** Ends of members in one page. */
const pageSize = 500

export interface NeedsParts {
  readonly log: Pick<JobLog, 'needs' | 'memberEnds'>
  readonly codec: Codec
}

type Readers = Readonly<Record<string, () => unknown>>

export const noNeeds: Readers = Object.freeze({})

/** What `ctx.needs` is. The log is asked once in a run, at the first read. */
export function makeNeeds(
  job: { readonly id: string; readonly name: string },
  needs: readonly ResolvedNeed[],
  parts: NeedsParts,
): Readers {
  let asked: Promise<readonly NeedRecord[]> | undefined
  const find = async (name: string): Promise<NeedRecord> => {
    asked ??= parts.log.needs(job.id)
    // A failure is not kept: the handler may read again.
    asked.catch(() => (asked = undefined))
    const record = (await asked).find((each) => each.name === name)
    if (record) return record
    throw new ErrandError(
      'E_NEED_UNKNOWN',
      `${job.name} (${job.id}) was dispatched without the need "${name}": an older definition did not have it`,
    )
  }
  return Object.freeze(
    Object.fromEntries(
      needs.map(({ name, kind }) => {
        if (kind === 'many') return [name, () => readMany(find(name), parts)]
        return kind === 'ended'
          ? [name, async () => readEnd(await find(name), parts.codec)]
          : [name, async () => readOne(await find(name), parts.codec)]
      }),
    ),
  )
}

async function readOne({ on, body }: Pick<NeedRecord, 'on' | 'body'>, codec: Codec): Promise<unknown> {
  return body && decoded(codec, body, asResult(on))
}

/** How something that was needed or called has ended. */
export async function readEnd(
  record: Pick<NeedRecord, 'on' | 'state' | 'body'>,
  codec: Codec,
): Promise<NeedEnd<unknown>> {
  const { on, state, body } = record
  if (state === 'failed' || state === 'cancelled') {
    return body ? { state, error: errorFrom(await decodedFailure(codec, body, asError(on))) } : { state }
  }
  return { state: 'succeeded', result: await readOne(record, codec) }
}

async function* readMany(
  finding: Promise<NeedRecord>,
  { log, codec }: NeedsParts,
): AsyncGenerator<{ readonly index: number; readonly result: unknown }, void> {
  const { on } = await finding
  for (let after: number | undefined; ;) {
    const { ends, next } = await log.memberEnds(on, { limit: pageSize, after })
    for (const { index, id, state, body } of ends) {
      if (state !== 'succeeded') continue
      yield { index, result: body && (await decoded(codec, body, asResult(id))) }
    }
    if (next === undefined) return
    after = next
  }
}
