import { ErrandError } from '@errand/core/ports'
import type { Endpoint } from './endpoint.ts'

/** The code of the broker's answer (404, 406, …), where the error is one. */
export function replyCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error) return typeof error.code === 'number' ? error.code : undefined
  // amqplib puts what the broker answered in the handshake into the text alone.
  const inText = /\b(\d{3}) \([A-Z_-]+\)/.exec(error.message)?.[1]
  return inText === undefined ? undefined : Number(inText)
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

export function driverError(message: string, cause?: unknown): ErrandError {
  return new ErrandError('E_DRIVER', message, { cause })
}

export function closedError(): ErrandError {
  return new ErrandError('E_CLOSED', 'this RabbitMQ driver has been closed')
}

/** Trying again soon will not help: somebody has to change something first. */
export function isPermanent(error: unknown): boolean {
  const code = replyCode(error)
  return code === 403 || code === 530 || isTlsError(error)
}

/** Why no connection could be made, and what to do about it. */
export function connectError(error: unknown, { where, vhost, protocol }: Endpoint): ErrandError {
  return driverError(`RabbitMQ at ${where} ${whyNot(error, vhost, protocol)}`, error)
}

function whyNot(error: unknown, vhost: string, protocol: Endpoint['protocol']): string {
  const text = textOf(error)
  const code = replyCode(error)
  if (code === 403) return 'refuses this user: check the user and the password in the URL'
  if (code === 530 && /not found/i.test(text))
    return `has no vhost "${vhost}": add it with rabbitmqctl add_vhost`
  if (code === 530)
    return `does not let this user into the vhost "${vhost}": rabbitmqctl set_permissions gives it the right`
  if (isTlsError(error)) {
    return `cannot be trusted or does not speak TLS (${text}): check the scheme and the port, and give the certificate of its signer as tls.ca`
  }
  if (/closed abruptly/i.test(text) && protocol === 'amqp') {
    return `ended the connection in the handshake: is this its AMQP port, and does it want amqps:// there?`
  }
  return `cannot be reached (${text}): is it running, and is the URL right?`
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
  const text = textOf(error)
  const code = replyCode(error)
  switch (code) {
    case undefined:
      return undefined
    case 404:
      return declares
        ? `queue "${queue}" does not exist`
        : `queue "${queue}" does not exist, and declare is false: make it as a durable quorum queue, or let a user declare it who may`
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
