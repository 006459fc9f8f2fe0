import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sqsName } from '../src/names.ts'
import { tries } from '../../../integration-tests/services/tries.ts'

describe('the names of the SQS queues', () => {
  it('can be read', () => {
    expect(sqsName('errand-', 'media', 'normal')).toBe('errand-media-normal')
    expect(sqsName('shop_', 'media.thumbnails', 'critical')).toBe('shop_media__thumbnails-critical')
  })

  const queue = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
  const prefix = fc.stringMatching(/^[A-Za-z0-9_-]{0,40}$/)

  it('are names that SQS takes, whatever core lets through', () => {
    fc.assert(
      fc.property(
        prefix,
        queue,
        fc.constantFrom('critical', 'high', 'normal', 'low'),
        (prefix, queue, lane) => {
          expect(sqsName(prefix, queue, lane)).toMatch(/^[A-Za-z0-9_-]{1,80}$/)
        },
      ),
      tries(100),
    )
  })

  it('are different for different queues', () => {
    const confusing = fc.stringMatching(/^a[a._-]{0,6}$/)
    fc.assert(
      fc.property(confusing, confusing, (one, other) => {
        fc.pre(one !== other)
        expect(sqsName('errand-', one, 'high')).not.toBe(sqsName('errand-', other, 'high'))
      }),
      tries(2_000),
    )
    const long = 'x'.repeat(63)
    expect(sqsName('a-longer-prefix-', `${long}1`, 'low')).not.toBe(
      sqsName('a-longer-prefix-', `${long}2`, 'low'),
    )
  })
})
