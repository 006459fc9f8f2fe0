import type { Failure } from '../failure/failure.ts'
import type { StoredStep, UnreadMessage } from '../job/memory.ts'
import { asError, asMessage, asResult, asStep } from '../ports/codec.ts'
import type { Codec } from '../ports/codec.ts'
import type { JobLog } from '../ports/job-log.ts'
import { readable, readableFailure } from './decode.ts'

/** What a job remembers, what it waits for, and what was sent to it. */
export interface JobMemory {
  /** Steps and waits that are over, in the order in which they were completed. */
  readonly steps: readonly StepDetails[]
  readonly waits: readonly WaitDetails[]
  /** Messages that it has not received, the oldest first. */
  readonly messages: readonly MessageDetails[]
}

interface Remembered {
  readonly name: string
  /** The run that stored it, and the version of the handler's memory then. */
  readonly run: number
  readonly memoryVersion: number
  /** The name of the message that it waits or waited for, or the id of the job or flow that it calls. */
  readonly on?: string
}

/** A step or a wait that is over. A result that this process cannot read is an `Unreadable`. */
export interface StepDetails extends Remembered {
  readonly kind: StoredStep['kind']
  readonly at: Date
  readonly durationMs?: number
  /** What ended the wait. */
  readonly by?: NonNullable<StoredStep['by']>
  /** What the handler got. */
  readonly result?: unknown
  /** Of what it called. */
  readonly error?: Failure
  /** Of its text in the log, in characters. */
  readonly size: number
}

/** A wait that is not over. */
export interface WaitDetails extends Remembered {
  readonly kind: Exclude<StoredStep['kind'], 'step'>
  /** When it is over at the latest. */
  readonly until?: Date
}

export interface MessageDetails {
  readonly id: string
  readonly name: string
  readonly by: string
  readonly at: Date
  readonly payload: unknown
}

export async function readJobMemory(log: JobLog, id: string, codec: Codec): Promise<JobMemory> {
  const { steps, messages } = await log.memory(id)
  const over = steps.filter(({ order }) => order !== undefined)
  const waits = steps.filter(({ order }) => order === undefined)
  return {
    steps: await Promise.all(over.map((step) => stepDetails(step, id, codec))),
    waits: waits.flatMap((step) => waitDetails(step)),
    messages: await Promise.all(messages.map((message) => messageDetails(message, codec))),
  }
}

function remembered({ name, run, memoryVersion, on }: StoredStep): Remembered {
  return { name, run, memoryVersion, ...(on === undefined ? {} : { on }) }
}

async function stepDetails(step: StoredStep, id: string, codec: Codec): Promise<StepDetails> {
  const { kind, at, durationMs, by, body } = step
  return {
    ...remembered(step),
    kind,
    at: new Date(at ?? 0),
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(by === undefined ? {} : { by }),
    ...(await outcome(step, id, codec)),
    size: body?.text.length ?? 0,
  }
}

async function outcome(
  { kind, name, on = '', by, body, messageId = '' }: StoredStep,
  id: string,
  codec: Codec,
): Promise<{ readonly result?: unknown; readonly error?: Failure }> {
  if (!body) return {}
  if (kind === 'step') return { result: await readable(codec, body, asStep(id, name)) }
  if (kind === 'message') return { result: await readable(codec, body, asMessage(messageId, on)) }
  if (by === 'succeeded') return { result: await readable(codec, body, asResult(on)) }
  return { error: await readableFailure(codec, body, asError(on)) }
}

function waitDetails(step: StoredStep): WaitDetails[] {
  const { kind, until } = step
  if (kind === 'step') return []
  return [{ ...remembered(step), kind, ...(until === undefined ? {} : { until: new Date(until) }) }]
}

async function messageDetails(
  { id, name, by, at, payload }: UnreadMessage,
  codec: Codec,
): Promise<MessageDetails> {
  return { id, name, by, at: new Date(at), payload: await readable(codec, payload, asMessage(id, name)) }
}
