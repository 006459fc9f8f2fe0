import { describe, expect, it } from 'vitest'
import { defineErrors, driverError } from '../../src/driver-kit.ts'

const named = (name: string, message = '') => Object.assign(new Error(message), { name })
const errors = defineErrors({
  busy: { named: /Throttl/, advice: 'wait', passing: true, common: true },
  denied: { named: /AccessDenied/, advice: 'allow it', final: true },
  full: { named: /Refused/, says: /memory/, advice: 'give it memory', common: true },
  refused: { named: /Refused|ECONNREFUSED/, advice: 'start it', passing: true },
  region: { says: /no region/i, advice: 'set the region' },
})

describe('errors of a broker', () => {
  it.each([
    [named('ThrottlingException'), 'busy'],
    [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'refused'],
    [named('Refused', 'out of memory'), 'full'],
    [named('Refused', 'no such user'), 'refused'],
    [new Error('No region was given'), 'region'],
    [new Error('something else'), undefined],
    ['a text that was thrown', undefined],
    [null, undefined],
  ])('%s is of the first kind that matches: %s', (error, kind) => {
    expect(errors.classify(error)).toBe(kind)
  })

  it('say what to do, and whether to try again', () => {
    const busy = named('ThrottlingException')
    expect([errors.isPassing(busy), errors.isCommon(busy), errors.isFinal(busy)]).toEqual([true, true, false])
    expect(errors.isFinal(named('AccessDenied'))).toBe(true)
    expect(errors.advise(named('AccessDenied'))).toBe('allow it')
    expect(errors.advise(new Error('something else'))).toBeUndefined()
    expect(errors.isPassing(new Error('something else'))).toBe(false)
  })

  it('are known by their cause, where Errand has wrapped them', () => {
    expect(errors.classify(driverError('sending failed', named('AccessDenied')))).toBe('denied')
    expect(errors.classify(driverError('AccessDenied'))).toBeUndefined()
  })

  it('may be matched by names of the broker’s own', () => {
    const byStatus = defineErrors(
      { failing: { named: /^5/, advice: 'wait' } },
      (error) => `${(error as { readonly status?: number }).status}`,
    )
    expect(byStatus.classify({ status: 503 })).toBe('failing')
    expect(byStatus.classify({ status: 404 })).toBeUndefined()
  })
})
