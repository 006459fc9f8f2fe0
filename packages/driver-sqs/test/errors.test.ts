import { describe, expect, it } from 'vitest'
import { driverError, sqsErrors } from '../src/errors.ts'

describe('an error of SQS', () => {
  it.each([null, undefined, 'gone', 7])('may be anything that can be thrown: %s', (thrown) => {
    expect(sqsErrors.classify(thrown)).toBeUndefined()
    expect(sqsErrors.isFinal(thrown)).toBe(false)
    expect(driverError('receiving', thrown)).toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining(String(thrown)),
    })
  })
})
