/** A stored payload, result or error: the text, and the name of the codec that reads it. */
export interface Encoded {
  readonly codec: string
  readonly text: string
}

/** What a text belongs to. A codec may bind the text to it, so that nobody can move the text to another place. */
export interface Belongs {
  /** The job's id; of a message, its own. */
  readonly job: string
  /** `payload of NAME`, `result`, `error`, `step NAME` or `message NAME`. */
  readonly as: string
}

/**
 * Turns JSON text into what the log stores, and back. Use it for encryption, compression and offloading.
 * `encode` uses the newest codec. `decode` must read every codec that is still in the log.
 */
export interface Codec {
  /** True if its texts need a key to be read. Log lines do not show them then. Default: false. */
  readonly isSecret?: boolean | undefined
  encode(json: string, of: Belongs): Encoded | Promise<Encoded>
  decode(stored: Encoded, of: Belongs): string | Promise<string>
  /**
   * A digest of at least 16 bytes, for ids that everybody may read. It is the same for the same text and the same `like`,
   * a text that this codec reads. If texts are secret, it uses the key of `like`, so that nobody without that key can test
   * what a text might have been. Default: SHA-256.
   */
  digest?(text: string, like: Encoded): Buffer
}

/** A payload belongs to its job by id and name. Under another name it would go to another handler. */
export function asPayload(job: { readonly id: string; readonly name: string }): Belongs {
  return { job: job.id, as: `payload of ${job.name}` }
}

export function asResult(job: string): Belongs {
  return { job, as: 'result' }
}

export function asError(job: string): Belongs {
  return { job, as: 'error' }
}

/** What a step returned belongs to its job and to the name of the step. */
export function asStep(job: string, name: string): Belongs {
  return { job, as: `step ${name}` }
}

/** The payload of a message belongs to the message: it is encoded before the job is looked at. */
export function asMessage(id: string, name: string): Belongs {
  return { job: id, as: `message ${name}` }
}
