import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { SQSClientConfig } from '@aws-sdk/client-sqs'
import { sqsErrors } from './errors.ts'
import type { Settings } from './options.ts'

/** Four long polls for each queue that is taken from, and room for sends and deletes; the SDK's own limit is 50. */
const mostSockets = 512
/** A long poll says nothing for as long as it waits: the kernel asks whether the connection still is one, every second then. */
const sockets = { keepAlive: true, keepAliveInitialDelay: 1_000, maxSockets: mostSockets }
/** However many requests are refused, a client is made anew no sooner than this after the last one. */
const renewedMs = 3_000

/** The SDK's client, and what is of no more use thrown away: sockets that lead to what fails, credentials that expired. */
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
      // Requests are repeated here, by a rule for each kind: the SDK's budget is one for all of them, and failing polls
      // empty it, so that sends would be tried once.
      maxAttempts: 1,
      requestHandler: { connectionTimeout: 5_000, httpAgent, httpsAgent },
    }
  }

  get sdk(): SQSClient {
    if (this.#given) return this.#given
    if (this.#own) return this.#own
    this.#madeMs = performance.now()
    // The SDK reads its files of credentials once in the life of a process, unless it is told not to.
    const anew: SQSClientConfig & { readonly ignoreCache: true } = { ...this.#config, ignoreCache: true }
    this.#own = new SQSClient(anew)
    return this.#own
  }

  /** What a failed request says of the client: the next one shall not meet the same for that reason alone. */
  failed(error: unknown): void {
    const trouble = sqsErrors.classify(error)
    if (trouble === 'failing' || trouble === 'endpoint') {
      // The name may lead elsewhere by now, and a kept socket never asks for it again.
      for (const agent of this.#agents) {
        for (const free of Object.values(agent.freeSockets)) {
          for (const socket of free ?? []) socket.destroy()
        }
      }
    }
    if (trouble === 'credentials' && performance.now() - this.#madeMs >= renewedMs) this.#own = undefined
  }

  /** A client of the application's own is left alone. */
  close(): void {
    this.#own?.destroy()
    for (const agent of this.#agents) agent.destroy()
  }
}
