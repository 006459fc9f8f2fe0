import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { arrayLiteral } from '../src/literals.ts'
import { url } from './stage.ts'

const control = Array.from({ length: 31 }, (_, at) => String.fromCodePoint(at + 1))

describe.skipIf(url === undefined)('PostgreSQL reads an array as it was given', () => {
  test.each<readonly [string, readonly (string | null)[]]>([
    ['what looks like syntax', ['a', null, 'NULL', 'null', '', ' ', '{}', ',']],
    [
      'quotes, backslashes, JSON',
      ['"', '\\', '\\"', '\\\\n', '{"text":"\\u0001\\n"}', 'ä', '😀', '\u2028', '\u007F'],
    ],
    ['control characters', ['plain', '"', '\\', null, ...control, control.join('"\\')]],
  ])('%s', async (_, cells) => {
    const client = new Client({ connectionString: url })
    await client.connect()
    try {
      const { rows } = await client.query<{ cells: unknown }>('select $1::text[] as cells', [
        arrayLiteral(cells),
      ])
      expect(rows[0]?.cells).toEqual(cells)
    } finally {
      await client.end()
    }
  })

  test('numbers, booleans, and nothing at all', () => {
    expect(arrayLiteral([1, -0.5, null, Number.NaN])).toBe('{1,-0.5,null,NaN}')
    expect(arrayLiteral([true, undefined, false])).toBe('{true,null,false}')
    expect(arrayLiteral([null, undefined])).toBeNull()
  })
})
