import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { encryptingCodec } from '../src/codec/encrypting-codec.ts'
import { jsonCodec } from '../src/codec/json-codec.ts'
import { refusalOf } from './code-of.ts'

const key = (): string => randomBytes(32).toString('base64')
const json = '{"card":"4111 1111"}'

test('the plain codec stores JSON as it is, and reads nothing else', async () => {
  expect(jsonCodec.encode(json)).toEqual({ codec: 'json', text: json })
  expect(jsonCodec.decode({ codec: 'json', text: json })).toBe(json)
  expect(await refusalOf(() => jsonCodec.decode({ codec: 'zip', text: '' }))).toMatchObject({
    code: 'E_CODEC',
  })
})

test('an encrypted text shows nothing of what it holds, and is another one each time', async () => {
  const codec = encryptingCodec([key()])
  const first = await codec.encode(json)
  expect(JSON.stringify(first)).not.toContain('4111')
  expect((await codec.encode(json)).text).not.toBe(first.text)
  expect(await codec.decode(first)).toBe(json)
})

test('after a rotation the new key encrypts and the old one still reads', async () => {
  const [old, fresh] = [key(), key()]
  const stored = await encryptingCodec([old]).encode(json)
  const rotated = encryptingCodec([fresh, old])
  expect(await rotated.decode(stored)).toBe(json)
  expect((await rotated.encode(json)).codec).not.toBe(stored.codec)
})

test('what was stored before encryption is read, and what a foreign key encrypted is an error that names it', async () => {
  const codec = encryptingCodec([key()])
  expect(await codec.decode({ codec: 'json', text: json })).toBe(json)
  const foreign = await encryptingCodec([key()]).encode(json)
  expect(await refusalOf(() => codec.decode(foreign))).toMatchObject({ code: 'E_CODEC' })
})

test('a text that was changed or cut is refused', async () => {
  const codec = encryptingCodec([key()])
  const { codec: name, text } = await codec.encode(json)
  const bytes = Buffer.from(text, 'base64')
  bytes[14] = (bytes[14] ?? 0) ^ 1
  for (const broken of [bytes.toString('base64'), text.slice(0, 20), '']) {
    expect(await refusalOf(() => codec.decode({ codec: name, text: broken }))).toMatchObject({
      code: 'E_CODEC',
    })
  }
})
