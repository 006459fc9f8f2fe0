import { hostname } from 'node:os'
import { crypto } from '../crypto.ts'
import { resolvedMessage } from '../define/message.ts'
import type { MessageDefinition, ResolvedMessage } from '../define/message.ts'
import { checkTransaction } from '../dispatch/transaction.ts'
import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import { longestStepResult, mostUnread } from '../job/memory.ts'
import { toJson } from '../json.ts'
import { checkOptions } from '../options.ts'
import { asMessage } from '../ports/codec.ts'
import type { Sent } from '../ports/memory.ts'
import type { Transaction } from '../ports/transaction.ts'
import { describeIssues, parseWith } from '../schema.ts'
import { freeText, personLimitBytes } from '../text.ts'
import type { OperateDeps } from './connection.ts'
import { publishTickets } from './publish-tickets.ts'

export interface SendOptions {
  /** A UUID of your own, for example that of a webhook. Two messages with one id are one. Default: a new one. */
  readonly id?: string | undefined
  /** Your own transaction: the message is sent if and only if it commits. */
  readonly tx?: Transaction | undefined
  /** Who sends it, for the job's history. Default: the name of this host. */
  readonly by?: string | undefined
}

/** What `send` answers: the message is stored (with `tx`: once that has committed). */
export interface SendReceipt {
  /** Of the message. */
  readonly id: string
  readonly status: 'sent' | 'duplicate'
}

/** @throws `E_MESSAGE`, and as a dispatch for what is wrong with the message */
export async function sendMessage(
  deps: OperateDeps,
  jobId: string,
  definition: MessageDefinition<never, unknown>,
  payload: unknown,
  options: SendOptions = {},
): Promise<SendReceipt> {
  const message = resolvedMessage(definition)
  checkOptions(`send(${message.name}) options`, options, ['id', 'tx', 'by'])
  const job = checkId(jobId)
  const { tx } = options
  if (tx !== undefined) checkTransaction(tx)
  const id = options.id === undefined ? crypto().randomUUID() : checkId(options.id)
  const by = freeText(options.by ?? hostname(), personLimitBytes)
  const encoded = await deps.codec.encode(await toMessageJson(message, payload), asMessage(id, message.name))
  if (encoded.text.length > longestStepResult) {
    throw new ErrandError(
      'E_PAYLOAD_TOO_LARGE',
      `the payload of message ${message.name} takes ${encoded.text.length} characters; the limit is ${longestStepResult} (store it elsewhere, and send a reference)`,
    )
  }
  const { log } = await deps.connected()
  const { sent, tickets } = await log.send([{ id, job, name: message.name, payload: encoded, by }], { tx })
  if (tx === undefined) await publishTickets(deps, tickets)
  return { id, status: checkSent(sent[0], message.name, job) }
}

async function toMessageJson({ name, payload: schema }: ResolvedMessage, payload: unknown): Promise<string> {
  if (!schema) {
    if (payload === undefined) return 'null'
    throw new ErrandError(
      'E_PAYLOAD_INVALID',
      `message ${name} takes no payload: its definition has no schema for one`,
    )
  }
  if (payload === undefined)
    throw new ErrandError('E_PAYLOAD_INVALID', `the payload of message ${name} is missing`)
  const json = toJson(payload, 'payload')
  if (!('text' in json)) {
    throw new ErrandError(
      'E_PAYLOAD_NOT_SERIALIZABLE',
      `${json.path} of message ${name} ${json.problem}; JSON cannot carry it`,
    )
  }
  const parsed = await parseWith(schema, JSON.parse(json.text))
  if (!parsed.issues) return json.text
  throw new ErrandError(
    'E_PAYLOAD_INVALID',
    `the payload of message ${name} does not fit: ${describeIssues(parsed.issues)}`,
  )
}

function checkSent(sent: Sent | undefined, name: string, job: string): 'sent' | 'duplicate' {
  switch (sent) {
    case 'sent':
    case 'duplicate':
      return sent
    case 'unknown':
      throw refused(job, `there is no job ${job} in this log (was its transaction committed?)`)
    case 'ended':
      throw refused(job, `job ${job} has ended, so nobody would read the message ${name}`)
    case 'full':
      throw refused(
        job,
        `job ${job} has ${mostUnread} messages that it has not read; does it ever wait for ${name}?`,
      )
    case 'refused':
      throw refused(
        job,
        `the payload of message ${name} holds half of a surrogate pair, which no log can store`,
      )
    case undefined:
      throw new ErrandError('E_LOG', 'the job log gave no answer to a message')
    default:
      return sent satisfies never
  }
}

function refused(job: string, message: string): ErrandError {
  return new ErrandError('E_MESSAGE', message, { ids: [job] })
}
