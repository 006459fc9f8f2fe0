import type { Failure } from '../failure/failure.ts'
import type { NeedMode } from '../job/need.ts'
import type { FinalState } from '../job/state.ts'
import { asError, asResult } from '../ports/codec.ts'
import type { Codec } from '../ports/codec.ts'
import type { NeedRecord } from '../ports/flows.ts'
import { readable, readableFailure } from './decode.ts'

/** Something that a job needs. */
export interface NeedInfo {
  /** The id of a job or a flow. */
  readonly on: string
  readonly isFlow: boolean
  readonly mode: NeedMode
  /** By which its handler reads it. Missing: it is about order alone. */
  readonly name?: string
  /** How it has ended. Missing: it has not. */
  readonly state?: FinalState
  /** If it has a name and has succeeded. */
  readonly result?: unknown
  /** If it has a name and has not. */
  readonly error?: Failure
}

/** Texts that this process cannot read become `Unreadable`, and never an error. */
export async function needInfo(record: NeedRecord, codec: Codec): Promise<NeedInfo> {
  const { on, isFlow, mode, name, state, body } = record
  return {
    on,
    isFlow,
    mode,
    ...(name === undefined ? {} : { name }),
    ...(state === undefined ? {} : { state }),
    ...(body && state === 'succeeded' ? { result: await readable(codec, body, asResult(on)) } : {}),
    ...(body && state !== 'succeeded' ? { error: await readableFailure(codec, body, asError(on)) } : {}),
  }
}
