import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@errand/core/ports'
import { fromUrl as rabbitmqAt } from '@errand/driver-rabbitmq'
import { fromUrl as sqsAt } from '@errand/driver-sqs'
import type { Logger } from 'errand'
import { shown } from '../postgres.ts'
import { Unusable } from '../unusable.ts'

/** The broker that the workers are moved to. */
export interface Broker {
  /** For people: `SQS`. */
  readonly name: string
  /** Where it is, for people, without a password. */
  readonly what: string
  /** For `ERRAND_DRIVER`. */
  readonly url: string
  close(): Promise<void>
}

/** The prefix of the demo's queues on a broker. The next demo uses the same queues. */
const prefix = 'errand-demo-'

/** The broker of this URL; without one an SQS of the demo's own, in a process of its own. */
export async function openBroker(driver: string | undefined): Promise<Broker> {
  if (driver === undefined) return startFauxqs()
  const url = withPrefix(driver)
  return { name: nameDriver(driver), what: shown(url), url, close: async () => {} }
}

/** @throws `Unusable` when the broker of this URL does not answer: the show would go on without it, from the log. */
export async function checkBroker(url: string, logger: Logger): Promise<void> {
  const factory = (url.startsWith('amqp') ? rabbitmqAt : sqsAt)(withPrefix(url))
  const driver = factory.open({ log: undefined as never, logger, clock: systemClock })
  // A driver keeps no process alive: its instance of Errand does that, and there is none here.
  const alive = setInterval(() => {}, 60_000)
  try {
    await driver.depth('pictures')
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Unusable(`the broker of --driver does not answer: ${why}`)
  } finally {
    await driver.close()
    clearInterval(alive)
  }
}

export function nameDriver(driver: string | undefined): string {
  return driver?.startsWith('amqp') ? 'RabbitMQ' : 'SQS'
}

/** A prefix in the URL stays. */
function withPrefix(driver: string): string {
  const url = new URL(driver)
  if (!url.searchParams.has('prefix')) url.searchParams.set('prefix', prefix)
  return url.href
}

async function startFauxqs(): Promise<Broker> {
  const script = fileURLToPath(new URL('fauxqs.ts', import.meta.url))
  const child = spawn(process.execPath, [script], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A process group of its own: on Ctrl-C the workers stop first. It ends with its standard input.
    detached: process.platform !== 'win32',
  })
  const port = await saidPort(child)
  return {
    name: 'SQS',
    what: `fauxqs, in process ${child.pid}`,
    url: `sqs://demo:demo@eu-west-1?endpoint=${encodeURIComponent(`http://127.0.0.1:${port}`)}&prefix=${prefix}`,
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

function saidPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let complaint = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2_000)
    })
    child.stdout?.setEncoding('utf8').once('data', (text: string) => resolve(Number(text)))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`fauxqs ended with ${code}: ${complaint}`)))
  })
}
