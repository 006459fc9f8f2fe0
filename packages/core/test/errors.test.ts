import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { ErrandError } from '../src/errors.ts'

test('an error that is printed shows what it was given, and nothing that is undefined', () => {
  const plain = new ErrandError('E_DRIVER', 'the broker is down')
  expect(Object.keys(plain).toSorted()).toEqual(['code', 'name'])
  expect(inspect(plain)).not.toContain('undefined')
  expect(plain.ids).toBeUndefined()
  const unknown = new ErrandError('E_DISPATCH_UNKNOWN', 'no answer', { ids: ['a'] })
  expect(inspect(unknown)).toContain(`ids: [ 'a' ]`)
})
