import { driverError, readMessage } from '@errand/core/driver-kit'
import { ErrandError } from '@errand/core/ports'
import type { Endpoint } from './endpoint.ts'

/** The code of the broker's answer (404, 406, …), if the error is one. */
export function replyCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error) return typeof error.code === 'number' ? error.code : undefined
  // Of an answer in the handshake, amqplib gives the code only in the text.
  const inText = /\b(\d{3}) \([A-Z_-]+\)/.exec(error.message)?.[1]
  return inText === undefined ? undefined : Number(inText)
}

export function closedError(): ErrandError {
  return new ErrandError('E_CLOSED', 'this RabbitMQ driver has been closed')
}

/** One host, and why it refused the connection. */
export interface Refused {
  readonly endpoint: Endpoint
  readonly error: unknown
}

/** True if trying again soon does not help, because every host needs a change by a person first. */
export function isPermanent(refused: readonly Refused[]): boolean {
  return refused.every(({ error }) => [402, 403, 530].includes(replyCode(error) ?? 0) || isTlsError(error))
}

/** Why no connection could be made to any of the hosts, and what to do about it. */
export function connectError(refused: readonly Refused[]): ErrandError {
  const causes = refused.map(({ error }) => error)
  const [cause] = causes
  return driverError(
    refused
      .map(({ endpoint, error }) => `RabbitMQ at ${endpoint.where} ${whyNot(error, endpoint)}`)
      .join('; '),
    causes.length === 1 ? cause : new AggregateError(causes, 'no host of RabbitMQ could be used'),
  )
}

function whyNot(error: unknown, endpoint: Endpoint): string {
  const { protocol, vhost } = endpoint
  const text = readMessage(error)
  const said = whatRefused(replyCode(error), text, endpoint)
  if (said !== undefined) return said
  if (isTlsError(error)) {
    return `cannot be trusted or does not speak TLS (${text}): check the scheme and the port, and give the certificate of its signer as tls.ca`
  }
  if (isVhostRefusal(error)) {
    return `does not let this user into the vhost "${vhost}": is there such a vhost, and has the user permissions in it?`
  }
  if (/closed abruptly/i.test(text) && protocol === 'amqp') {
    return `ended the connection in the handshake: is this its AMQP port, and does it want amqps:// there?`
  }
  return `cannot be reached (${text}): is it running, and is the URL right?`
}

/** Explains the code with which the broker ends a handshake; undefined if it gave none. */
function whatRefused(code: number | undefined, text: string, { vhost, user }: Endpoint): string | undefined {
  switch (code) {
    case 403:
      return user === 'guest'
        ? 'refuses the user guest: it may connect only from the machine of the broker, with its own password; put another user and the password into the URL'
        : 'refuses this user: check the user and the password in the URL'
    case 402:
      return `does not accept the vhost "${vhost}": check the path of the URL`
    case 530:
      if (/limit/i.test(text))
        return `accepts no more connections (${text}): close some, or raise the limit with rabbitmqctl set_vhost_limits or set_user_limits`
      if (/not found/i.test(text))
        return `has no vhost "${vhost}": add it with rabbitmqctl add_vhost, or correct the path of the URL`
      return `does not let this user into the vhost "${vhost}": rabbitmqctl set_permissions gives it the right`
    case 541:
      if (/down/i.test(text))
        return `has stopped the vhost "${vhost}": rabbitmqctl restart_vhost, and its log says why`
      return `has failed (${text}): its log says why`
    case 320:
      return `is being stopped, or an operator closes its connections (${text})`
    case undefined:
      return undefined
    default:
      return `ended the handshake with ${code} (${text})`
  }
}

/** amqplib does not pass on the broker's answer to the request for a vhost. */
export function isVhostRefusal(error: unknown): boolean {
  return /Expected ConnectionOpenOk; got <ConnectionClose/.test(readMessage(error))
}

function isTlsError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)|^EPROTO$/.test(code)
}

const settingsMean: Readonly<Record<string, string>> = {
  'x-queue-type': 'it is of another type',
  durable: 'it does not outlive a restart',
  exclusive: 'it belongs to one connection',
  auto_delete: 'it deletes itself',
}

/** Why a queue cannot be used, and what to do about it; undefined when the error is not about the queue. */
export function queueProblem(error: unknown, queue: string, declares: boolean): string | undefined {
  const text = readMessage(error)
  const code = replyCode(error)
  switch (code) {
    case undefined:
      return undefined
    case 404:
      return declares
        ? `queue "${queue}" does not exist`
        : `queue "${queue}" does not exist, and declare is false: make it as a durable quorum queue, or let a user with that right declare it`
    case 403:
      return declares
        ? `this user may not declare queue "${queue}": give it the right to configure it, or make the queues and set declare: false`
        : `this user may not use queue "${queue}" (${text})`
    case 405:
      return `queue "${queue}" is locked by another connection, as an exclusive queue`
    case 406: {
      const argument = /inequivalent arg '([^']+)'/.exec(text)?.[1]
      if (argument === undefined) return `queue "${queue}" cannot be declared: ${text}`
      const differs = /received (.+?)(?: in vhost.*)?["')]*$/.exec(text)?.[1] ?? text
      const means = settingsMean[argument]
      return `queue "${queue}" exists with another ${argument}${means === undefined ? '' : ` (${means})`}: received ${differs}. Delete it (its tickets are issued again from the job log), or set another prefix`
    }
    default:
      return undefined
  }
}
