import { describe, expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { decodeTickets, encodeTicket, packTickets } from '../../src/driver-kit.ts'

describe('a ticket as text', () => {
  it('is read as it was written, and is about 100 bytes', () => {
    const ticket = newTicket({ lane: 'critical' })
    expect(decodeTickets(encodeTicket(ticket)).tickets).toEqual([ticket])
    expect(decodeTickets(Buffer.from(encodeTicket(ticket))).tickets).toEqual([ticket])
    expect(encodeTicket(ticket).length).toBeLessThan(150)
  })

  it('is ASCII, whatever is in it', () => {
    const ticket = newTicket({ id: '👩🏽‍🚀 "quoted" \\ \0 \u2028 \ud800' })
    expect(encodeTicket(ticket)).toMatch(/^[\x20-\x7e]*$/)
    expect(decodeTickets(encodeTicket(ticket)).tickets).toEqual([ticket])
  })

  it('takes nothing from a prototype, its own or a forged one', () => {
    const forged = '{"__proto__":{"id":"x","queue":"q","lane":"low","log":"l"}}'
    expect(decodeTickets(Buffer.from(forged)).why).toBe('it has no id')
    const { tickets } = decodeTickets(
      Buffer.from('{"id":"x","queue":"q","lane":"low","log":"l","__proto__":{"polluted":1}}'),
    )
    expect(Object.keys(tickets?.[0] ?? {})).toEqual(['id', 'queue', 'lane', 'log'])
  })

  it('is not looked for in what is far too long', () => {
    expect(decodeTickets(Buffer.alloc(1_000_000, '[')).why).toContain('1000000 bytes')
  })

  it.each([
    [undefined, 'it has no text'],
    ['', 'not JSON'],
    ['[{"id":"x"}]', 'not an object'],
    ['{"id":7,"queue":"q","lane":"low","log":"l"}', 'it has no id'],
    ['{"id":"x","queue":["q"],"lane":"low","log":"l"}', 'it names no queue or no log'],
    ['{"id":"x","queue":"q","lane":"toString","log":"l"}', 'its lane is unknown'],
  ])('%s is none: %s', (text, why) => {
    expect(decodeTickets(text)).toEqual({ why })
  })
})

describe('several tickets as one text', () => {
  const tickets = Array.from({ length: 20 }, () => newTicket())
  const [message] = packTickets(tickets, () => 20)

  it('are read as they were written, and take 40 bytes each', () => {
    expect(decodeTickets(message?.text).tickets).toEqual(tickets)
    expect(message?.text.length).toBeLessThan(110 + 40 * 20)
  })

  it('are the first ticket to a reader that knows nothing of the others', () => {
    expect(JSON.parse(message?.text ?? '')).toMatchObject(tickets[0]!)
    expect(encodeTicket(tickets[0]!)).toBe(message?.text.replace(/,"more":.*]/, ''))
  })

  const first = '"id":"x","queue":"q","lane":"low","log":"l"'
  it.each([
    [`{${first},"more":"y"}`, 'its further ids are no list of ids'],
    [`{${first},"more":["y",7]}`, 'its further ids are no list of ids'],
    [`{${first},"more":["y",""]}`, 'its further ids are no list of ids'],
    [`{${first},"more":["y","y"]}`, 'it has an id twice'],
    [`{${first},"more":["x"]}`, 'it has an id twice'],
    [
      JSON.stringify({
        ...newTicket(),
        more: Array.from({ length: 100 }, (_, index) => `${index}`),
      }),
      '101 ids, which no message has',
    ],
  ])('%s is none: %s', (text, why) => {
    expect(decodeTickets(text)).toEqual({ why })
  })
})
