import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseFaithfully } from '../src/options/faithful-json.ts'
import { json } from '../src/options/parse.ts'
import { makeApplication } from './helpers/application.ts'
import { makeProject } from './helpers/project.ts'
import { tries } from '../../../integration-tests/services/tries.ts'

test.each([
  ['9007199254740993', /payload is 9007199254740993, which would become 9007199254740992/],
  ['{"id":12345678901234567890}', /payload\.id is .*would become/],
  ['{"a":[1,{"b c":1e400}]}', /payload\.a\[1\]\["b c"\] is 1e400, which would become no number/],
  ['[0,1e-400]', /payload\[1\] is 1e-400, which would become 0/],
  ['[-0]', /payload\[0\] is -0, which would become 0/],
  ['-0.0e5', /would become 0/],
  ['0.12345678901234567890123', /would become 0\.12345678901234568/],
  ['{"a":{"x":1,"y":2,"x":3}}', /payload\.a\.x is there twice/],
  ['{"a":1,"\\u0061":2}', /payload\["\\u0061"\] is there twice|payload\.a is there twice/],
])('%s is refused with its place: it would not come back as it went', (text, message) => {
  expect(() => parseFaithfully(text)).toThrow(expect.objectContaining({ code: 'E_OPTION' }))
  expect(() => parseFaithfully(text)).toThrow(message)
})

test.each([
  '9007199254740991',
  '1.50',
  '15e-1',
  '1E+2',
  '0.0',
  '0e99',
  '1e23',
  '0.1',
  '5e-324',
  '{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":"9007199254740993, \\"x\\": -0"}]}',
  '[]',
  '"-0"',
])('%s is taken as it is', (text) => {
  expect(parseFaithfully(text)).toEqual(JSON.parse(text))
})

test('whatever JSON.stringify writes is taken, and comes back the same', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      expect(JSON.stringify(parseFaithfully(text))).toBe(text)
    }),
    tries(100),
  )
})

test.each([
  ['UTF-8 with a byte order mark', Buffer.from('\ufeff{"name":"ö"}')],
  ['UTF-16 of Windows', Buffer.from('\ufeff{"name":"ö"}', 'utf16le')],
  ['UTF-16 the other way round', Buffer.from('\ufeff{"name":"ö"}', 'utf16le').swap16()],
])('a file in %s is JSON', async (_what, bytes) => {
  const { folder } = makeProject()
  writeFileSync(join(folder, 'payload.json'), bytes)
  expect(await json(`@${join(folder, 'payload.json')}`)).toEqual({ name: 'ö' })
})

test('the command refuses what would not come back, from its words and from a file, and stores nothing', async () => {
  const project = makeApplication()
  const bigint = '{"n":9007199254740993}'
  writeFileSync(join(project.folder, 'payload.json'), bigint)
  for (const payload of [bigint, '@payload.json']) {
    const ran = await project.run(['dispatch', 'greet', payload, '--unchecked'])
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(ran.stderr).toMatch(/E_OPTION.*\bn\b/)
  }
  expect(JSON.parse((await project.run(['jobs', 'list', '--json'])).stdout)).toMatchObject({ jobs: [] })
})

test('bytes that are no text are refused, and not replaced', async () => {
  const { folder } = makeProject()
  writeFileSync(join(folder, 'payload.json'), Buffer.from([0x22, 0xff, 0x22]))
  await expect(json(`@${join(folder, 'payload.json')}`)).rejects.toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('not text in UTF-8'),
  })
})
