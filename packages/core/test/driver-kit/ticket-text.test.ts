import { describe, expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { decodeTicket, encodeTicket } from '../../src/driver-kit.ts'

describe('a ticket as text', () => {
  it('is read as it was written, and is about 100 bytes', () => {
    const ticket = newTicket({ lane: 'critical' })
    expect(decodeTicket(encodeTicket(ticket)).ticket).toEqual(ticket)
    expect(decodeTicket(Buffer.from(encodeTicket(ticket))).ticket).toEqual(ticket)
    expect(encodeTicket(ticket).length).toBeLessThan(150)
  })

  it('is ASCII, whatever is in it', () => {
    const ticket = newTicket({ id: '👩🏽‍🚀 "quoted" \\ \0 \u2028 \ud800' })
    expect(encodeTicket(ticket)).toMatch(/^[\x20-\x7e]*$/)
    expect(decodeTicket(encodeTicket(ticket)).ticket).toEqual(ticket)
  })

  it('takes nothing from a prototype, its own or a forged one', () => {
    const forged = '{"__proto__":{"id":"x","queue":"q","lane":"low","log":"l"}}'
    expect(decodeTicket(Buffer.from(forged)).why).toBe('it has no id')
    const { ticket } = decodeTicket(
      Buffer.from('{"id":"x","queue":"q","lane":"low","log":"l","__proto__":{"polluted":1}}'),
    )
    expect(Object.keys(ticket ?? {})).toEqual(['id', 'queue', 'lane', 'log'])
  })

  it('is not looked for in what is far too long', () => {
    expect(decodeTicket(Buffer.alloc(1_000_000, '[')).why).toContain('1000000 bytes')
  })

  it.each([
    [undefined, 'it has no text'],
    ['', 'not JSON'],
    ['[{"id":"x"}]', 'not an object'],
    ['{"id":7,"queue":"q","lane":"low","log":"l"}', 'it has no id'],
    ['{"id":"x","queue":["q"],"lane":"low","log":"l"}', 'it names no queue or no log'],
    ['{"id":"x","queue":"q","lane":"toString","log":"l"}', 'its lane is unknown'],
  ])('%s is none: %s', (text, why) => {
    expect(decodeTicket(text)).toEqual({ why })
  })
})
