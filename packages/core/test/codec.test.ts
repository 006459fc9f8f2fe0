import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { encryptingCodec } from '../src/codec/encrypting-codec.ts'
import { jsonCodec } from '../src/codec/json-codec.ts'
import { catchRefusal } from './catch-refusal.ts'

const key = (): string => randomBytes(32).toString('base64')
const of = { job: '0198c0de-0000-7000-8000-00000000000a', as: 'payload of pay' }
const json = '{"card":"4111 1111"}'

test('the plain codec stores JSON as it is, and reads nothing else', async () => {
  expect(jsonCodec.encode(json, of)).toEqual({ codec: 'json', text: json })
  expect(jsonCodec.decode({ codec: 'json', text: json }, of)).toBe(json)
  expect(await catchRefusal(() => jsonCodec.decode({ codec: 'zip', text: '' }, of))).toMatchObject({
    code: 'E_CODEC',
  })
})

test('an encrypted text shows nothing of what it holds, and is another one each time', async () => {
  const codec = encryptingCodec([key()])
  const first = await codec.encode(json, of)
  expect(JSON.stringify(first)).not.toContain('4111')
  expect((await codec.encode(json, of)).text).not.toBe(first.text)
  expect(await codec.decode(first, of)).toBe(json)
})

test('after a rotation the new key encrypts and the old one still reads', async () => {
  const [old, fresh] = [key(), key()]
  const stored = await encryptingCodec([old]).encode(json, of)
  const rotated = encryptingCodec([fresh, old])
  expect(await rotated.decode(stored, of)).toBe(json)
  expect((await rotated.encode(json, of)).codec).not.toBe(stored.codec)
})

test('texts from before encryption are read; a text of a foreign key is an error that names the key', async () => {
  const codec = encryptingCodec([key()])
  expect(await codec.decode({ codec: 'json', text: json }, of)).toBe(json)
  const foreign = await encryptingCodec([key()]).encode(json, of)
  expect(await catchRefusal(() => codec.decode(foreign, of))).toMatchObject({
    code: 'E_CODEC',
    message: expect.stringContaining(foreign.codec.split(':')[1] ?? '?') as string,
  })
})

test('a text that was changed or cut is refused', async () => {
  const codec = encryptingCodec([key()])
  const { codec: name, text } = await codec.encode(json, of)
  const bytes = Buffer.from(text, 'base64')
  bytes[14] = (bytes[14] ?? 0) ^ 1
  for (const broken of [bytes.toString('base64'), text.slice(0, 20), '']) {
    expect(await catchRefusal(() => codec.decode({ codec: name, text: broken }, of))).toMatchObject({
      code: 'E_CODEC',
    })
  }
})

test('a text belongs to its job, its name and its place: put elsewhere, it is refused', async () => {
  const codec = encryptingCodec([key()])
  const stored = await codec.encode(json, of)
  expect(await codec.decode(stored, { ...of, job: of.job.toUpperCase() })).toBe(json)
  for (const elsewhere of [
    { ...of, job: '0198c0de-0000-7000-8000-00000000000b' },
    { ...of, as: 'payload of refund' },
    { ...of, as: 'result' },
  ]) {
    expect(await catchRefusal(() => codec.decode(stored, elsewhere))).toMatchObject({ code: 'E_CODEC' })
  }
})
