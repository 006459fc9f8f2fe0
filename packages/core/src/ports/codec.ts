/** A stored payload, result or error: the text, and the name of the codec that reads it. */
export interface Encoded {
  readonly codec: string
  readonly text: string
}

/**
 * Turns JSON text into what the log stores and back: the place for encryption, compression and offloading.
 * `encode` uses the newest codec; `decode` must read every codec that is still in the log.
 */
export interface Codec {
  encode(json: string): Encoded | Promise<Encoded>
  decode(stored: Encoded): string | Promise<string>
}
