import type { ResolvedMessage } from '../../define/message.ts'
import { ErrandError, isErrandError } from '../../errors.ts'
import type { StoredStep } from '../../job/memory.ts'
import { decoded } from '../../operate/decode.ts'
import { asMessage, asStep } from '../../ports/codec.ts'
import type { Belongs, Codec, Encoded } from '../../ports/codec.ts'
import { describeIssues, parseWith } from '../../schema.ts'

/** The JSON text of what a step returned. @throws `E_STEP_RESULT` if this process cannot read it. */
export async function readStepJson(
  codec: Codec,
  job: string,
  { name, body }: StoredStep,
): Promise<string | undefined> {
  if (!body) return undefined
  try {
    return await codec.decode(body, asStep(job, name))
  } catch (error) {
    throw unreadable(`step '${name}'`, error)
  }
}

/** The payload of a message that has come; undefined: the time was over first. @throws `E_STEP_RESULT` */
export async function readMessage(
  codec: Codec,
  { name, by, body, messageId }: StoredStep,
  message: ResolvedMessage,
): Promise<unknown> {
  if (by === 'time') return undefined
  const { payload } = message
  if (!payload) return true
  const value = await read(codec, `message '${message.name}'`, body, asMessage(messageId ?? '', message.name))
  const parsed = await parseWith(payload, value)
  if (!parsed.issues) return parsed.value
  throw new ErrandError(
    'E_STEP_RESULT',
    `the message '${message.name}' that '${name}' received does not fit its schema here: ${describeIssues(parsed.issues)}; let the schema take it, or catch this and receive the next one by another name; then replay the job, which goes on where it was`,
  )
}

/** @throws `E_STEP_RESULT` if this process cannot read it. */
export async function read(
  codec: Codec,
  what: string,
  body: Encoded | undefined,
  of: Belongs,
): Promise<unknown> {
  if (!body) return undefined
  try {
    return await decoded(codec, body, of)
  } catch (error) {
    throw unreadable(what, error)
  }
}

/** Without a parser's message, which quotes the text. */
function unreadable(what: string, error: unknown): ErrandError {
  const why = isErrandError(error, 'E_CODEC') ? error.message : 'it is not JSON'
  return new ErrandError('E_STEP_RESULT', `what ${what} left cannot be read here: ${why}`, { cause: error })
}
