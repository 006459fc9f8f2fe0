import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { SQSClientConfig } from '@aws-sdk/client-sqs'
import { sqsErrors } from './errors.ts'
import type { Settings } from './options.ts'

/** A worker needs four long polls for each queue, and sockets for sends and deletes. The SDK's own limit is 50. */
const mostSockets = 512
/** A long poll is silent while it waits. So the kernel checks after a second of silence whether the connection is alive. */
const sockets = { keepAlive: true, keepAliveInitialDelay: 1_000, maxSockets: mostSockets }
/** The shortest time between two new clients, however many requests are refused. */
const renewedMs = 3_000

/** The SDK's client. It drops sockets to a server that fails, and replaces credentials that have expired. */
export class Client {
  readonly #given: SQSClient | undefined
  readonly #config: SQSClientConfig
  readonly #agents = [new HttpAgent(sockets), new HttpsAgent(sockets)] as const
  #own: SQSClient | undefined
  #madeMs = Number.NEGATIVE_INFINITY

  constructor({ client, region, endpoint, credentials }: Settings) {
    this.#given = client
    const [httpAgent, httpsAgent] = this.#agents
    this.#config = {
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
      // The driver repeats requests itself, by a rule for each kind. The SDK has one budget for all of them: failing polls
      // use it up, and then sends would be tried only once.
      maxAttempts: 1,
      requestHandler: { connectionTimeout: 5_000, httpAgent, httpsAgent },
    }
  }

  get sdk(): SQSClient {
    if (this.#given) return this.#given
    if (this.#own) return this.#own
    this.#madeMs = performance.now()
    // By default the SDK reads its credential files once in the life of a process.
    const anew: SQSClientConfig & { readonly ignoreCache: true } = { ...this.#config, ignoreCache: true }
    this.#own = new SQSClient(anew)
    return this.#own
  }

  /** Learns from a failed request, so that the next one does not fail because of an old socket or old credentials. */
  failed(error: unknown): void {
    const trouble = sqsErrors.classify(error)
    if (trouble === 'failing' || trouble === 'endpoint') {
      // The host name may have another address by now, and a kept socket never looks it up again.
      for (const agent of this.#agents) {
        for (const free of Object.values(agent.freeSockets)) {
          for (const socket of free ?? []) socket.destroy()
        }
      }
    }
    if (trouble === 'credentials' && performance.now() - this.#madeMs >= renewedMs) this.#own = undefined
  }

  /** Does not destroy a client that the application gave. */
  close(): void {
    this.#own?.destroy()
    for (const agent of this.#agents) agent.destroy()
  }
}
