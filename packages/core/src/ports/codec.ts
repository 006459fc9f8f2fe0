/** A stored payload, result or error: the text, and the name of the codec that reads it. */
export interface Encoded {
  readonly codec: string
  readonly text: string
}

/** What a text belongs to: a codec may bind it to that, so that nobody can put it elsewhere. */
export interface Belongs {
  /** The job's id. */
  readonly job: string
  /** `payload of NAME`, `result` or `error`. */
  readonly as: string
}

/**
 * Turns JSON text into what the log stores and back: the place for encryption, compression and offloading.
 * `encode` uses the newest codec; `decode` must read every codec that is still in the log.
 */
export interface Codec {
  /** Its texts are nobody's without a key: lines of a log do not show them either. Default: false. */
  readonly isSecret?: boolean | undefined
  encode(json: string, of: Belongs): Encoded | Promise<Encoded>
  decode(stored: Encoded, of: Belongs): string | Promise<string>
  /**
   * A digest of at least 16 bytes, from which ids are made that everybody may read; the same for the same text and the
   * same `like`, a text that this codec reads. Where texts are secret it takes the key of `like`, so that nobody without
   * it can try what a text might have been. Default: SHA-256.
   */
  digest?(text: string, like: Encoded): Buffer
}

/** A payload belongs to its job by id and name: one under another name would be for another handler. */
export function payloadOf(job: { readonly id: string; readonly name: string }): Belongs {
  return { job: job.id, as: `payload of ${job.name}` }
}

export function resultOf(job: string): Belongs {
  return { job, as: 'result' }
}

export function errorOf(job: string): Belongs {
  return { job, as: 'error' }
}
