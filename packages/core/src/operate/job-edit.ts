import { ErrandError } from '../errors.ts'
import { lanes } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import { toJson } from '../json.ts'
import { momentMs } from '../moment.ts'
import { checkQueueName } from '../names.ts'
import { checkOneOf, checkOptions } from '../options.ts'
import { asPayload } from '../ports/codec.ts'
import type { JobChange } from '../ports/operations.ts'
import type { OperateDeps } from './connection.ts'

/** What `change` can edit. */
export interface JobEdit {
  readonly lane?: Lane | undefined
  /** Not for a job with an ordering key: the key belongs to its queue. */
  readonly queue?: string | undefined
  /** When it is due; a moment in the past means now. */
  readonly at?: Date | undefined
  readonly payload?: unknown
}

/** @throws `E_OPTION`, `E_NAME`, `E_PAYLOAD_NOT_SERIALIZABLE`, `E_PAYLOAD_TOO_LARGE` */
export async function toChange(deps: OperateDeps, id: string, to: JobEdit): Promise<JobChange> {
  const { codec, settings } = deps
  checkOptions('change()', to, ['lane', 'queue', 'at', 'payload'])
  const { lane, queue, at, payload } = to
  const change = {
    ...(lane === undefined ? {} : { lane: checkOneOf('lane', lane, lanes) }),
    ...(queue === undefined ? {} : { queue: checkQueueName(queue) }),
    ...(at === undefined ? {} : { runAt: momentMs('at', at) }),
  }
  if (payload === undefined) {
    if (Object.keys(change).length > 0) return change
    throw new ErrandError('E_OPTION', 'change() got nothing to change; give lane, queue, at or payload')
  }
  const json = toJson(payload, 'payload')
  if (!('text' in json)) {
    throw new ErrandError('E_PAYLOAD_NOT_SERIALIZABLE', `${json.path} ${json.problem}; JSON cannot carry it`)
  }
  const bytes = Buffer.byteLength(json.text)
  if (bytes > settings.payloadLimitBytes) {
    throw new ErrandError(
      'E_PAYLOAD_TOO_LARGE',
      `the payload is ${bytes} bytes; the limit is ${settings.payloadLimitBytes}`,
    )
  }
  const log = await deps.connectedLog()
  const name = (await log.get(id))?.name
  // If there is no such job, the log says so itself.
  return { ...change, payload: await codec.encode(json.text, asPayload({ id, name: name ?? '' })) }
}
