import { crypto } from '../crypto.ts'
import { ErrandError } from '../errors.ts'
import type { Belongs, Codec, Encoded } from '../ports/codec.ts'
import { jsonCodec } from './json-codec.ts'

const algorithm = 'aes-256-gcm'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const prefix = 'aes-256-gcm:'

/**
 * AES-256-GCM with a random nonce for each text. The codec's name carries the key's fingerprint, so that a text says
 * which key reads it. The tag also covers what the text belongs to, so that a writer to the log cannot give a
 * job the payload of another job. Texts from before encryption was turned on are still read.
 * @param keys 32 bytes each, in base64: the first one encrypts, all of them decrypt.
 * @throws `E_OPTION` for no key, or one of another length; `E_CODEC` for a text that none of the keys reads.
 */
export function encryptingCodec(keys: readonly string[]): Codec {
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new ErrandError('E_OPTION', 'encrypt.keys must be a list with at least one key')
  }
  const byName = new Map((keys as readonly string[]).map((text, index) => parseKey(text, index)))
  const [newest] = byName
  if (!newest) throw new ErrandError('E_OPTION', 'encrypt.keys is empty')
  return {
    isSecret: true,
    encode: (json, of) => ({ codec: newest[0], text: encrypt(json, newest[1], of) }),
    digest: (text, like) =>
      crypto()
        .createHmac('sha256', byName.get(like.codec) ?? newest[1])
        .update(text)
        .digest(),
    decode: (stored, of) => {
      if (!stored.codec.startsWith(prefix)) return jsonCodec.decode(stored, of)
      const key = byName.get(stored.codec)
      if (key) return decrypt(stored, key, of)
      throw new ErrandError(
        'E_CODEC',
        `this was encrypted with the key ${stored.codec.slice(prefix.length)}, which is not among encrypt.keys`,
      )
    },
  }
}

function parseKey(text: unknown, index: number): [name: string, key: Buffer] {
  const key = Buffer.from(typeof text === 'string' ? text : '', 'base64')
  if (key.length !== keyBytes) {
    throw new ErrandError(
      'E_OPTION',
      `encrypt.keys[${index}] has ${key.length} bytes; use ${keyBytes} in base64 (openssl rand -base64 32)`,
    )
  }
  const fingerprint = crypto().createHash('sha256').update(key).digest('hex').slice(0, 8)
  return [prefix + fingerprint, key]
}

/** Ids come back from databases in lower case. A line break is in none of the parts. */
function boundTo({ job, as }: Belongs): Buffer {
  return Buffer.from(`${job.toLowerCase()}\n${as}`)
}

function encrypt(json: string, key: Buffer, of: Belongs): string {
  const nonce = crypto().randomBytes(nonceBytes)
  const cipher = crypto().createCipheriv(algorithm, key, nonce)
  cipher.setAAD(boundTo(of))
  return Buffer.concat([nonce, cipher.update(json, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  )
}

function decrypt({ codec, text }: Encoded, key: Buffer, of: Belongs): string {
  const bytes = Buffer.from(text, 'base64')
  try {
    const decipher = crypto().createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    })
    decipher.setAAD(boundTo(of))
    decipher.setAuthTag(bytes.subarray(-tagBytes))
    const plain = decipher.update(bytes.subarray(nonceBytes, -tagBytes))
    return Buffer.concat([plain, decipher.final()]).toString('utf8')
  } catch (error) {
    throw new ErrandError(
      'E_CODEC',
      `a text stored with ${codec} was changed, cut, or is another job's; it cannot be decrypted`,
      { cause: error },
    )
  }
}
