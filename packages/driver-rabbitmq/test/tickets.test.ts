import { describe, expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { brokerQueue, brokerQueues } from '../src/names.ts'
import { decodeTicket, encodeTicket } from '../src/tickets.ts'

describe('a ticket as a message', () => {
  it('is read as it was written, and is about 100 bytes', () => {
    const ticket = newTicket({ lane: 'critical' })
    expect(decodeTicket(encodeTicket(ticket)).ticket).toEqual(ticket)
    expect(encodeTicket(ticket).length).toBeLessThan(150)
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
})

describe('names of queues', () => {
  it('hold prefix, queue, lane and version', () => {
    expect(brokerQueue('errand', 'media', 'high')).toBe('errand:media:high:v1')
    expect(brokerQueues('errand', 'q')).toHaveLength(4)
  })

  it('fit into the 255 bytes that AMQP has for a name', () => {
    expect(brokerQueue('p'.repeat(64), 'q'.repeat(64), 'critical').length).toBeLessThan(255)
  })
})
