import { describe, expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { decodeTickets, packTickets } from '../../src/driver-kit.ts'
import type { Lane } from '../../src/ports.ts'

const many = (count: number, lane: Lane = 'normal', queue = 'media') =>
  Array.from({ length: count }, () => newTicket({ lane, queue }))
const sizes = (messages: readonly { readonly tickets: readonly unknown[] }[]) =>
  messages.map(({ tickets }) => tickets.length)

describe('packing tickets into messages', () => {
  it('gives each ticket a message of its own unless more are allowed', () => {
    const tickets = many(3)
    expect(sizes(packTickets(tickets))).toEqual([1, 1, 1])
    expect(sizes(packTickets(tickets, () => 1))).toEqual([1, 1, 1])
    expect(sizes(packTickets(tickets, () => 0.5))).toEqual([1, 1, 1])
  })

  it('fills messages evenly, and keeps the order', () => {
    const tickets = many(125)
    const messages = packTickets(tickets, () => 20)
    expect(sizes(messages)).toEqual([18, 18, 18, 18, 18, 18, 17])
    expect(messages.flatMap((message) => message.tickets)).toEqual(tickets)
    expect(messages.flatMap(({ text }) => decodeTickets(text).tickets ?? [])).toEqual(tickets)
  })

  it('mixes no queues, no lanes and no logs, and asks for each lane how many', () => {
    const asked: (readonly [string, number])[] = []
    const tickets = [...many(3), ...many(2, 'high'), ...many(4, 'normal', 'mail')]
    const messages = packTickets(
      [...tickets, { ...newTicket({ queue: 'media' }), log: 'other' }],
      (...call) => {
        asked.push(call)
        return 10
      },
    )
    expect(sizes(messages)).toEqual([3, 2, 4, 1])
    expect(messages.map(({ queue, lane }) => [queue, lane])).toEqual([
      ['media', 'normal'],
      ['media', 'high'],
      ['mail', 'normal'],
      ['media', 'normal'],
    ])
    expect(asked).toEqual([
      ['media', 3],
      ['media', 2],
      ['mail', 4],
      ['media', 1],
    ])
  })

  it('names a job once in a message, and sends twice what was given twice', () => {
    const [one, two] = many(2)
    const messages = packTickets([one!, one!, two!], () => 10)
    expect(messages.map(({ tickets }) => tickets)).toEqual([[one], [one, two]])
  })

  it('never writes a message that no reader takes, however many are allowed and whatever the ids are', () => {
    const odd = [...many(60), newTicket({ id: 'x'.repeat(8_000) }), newTicket({ id: '\u0000' }), ...many(60)]
    const long = Array.from({ length: 60 }, (_, index) => newTicket({ id: `"`.repeat(95) + String(index) }))
    for (const tickets of [odd, long]) {
      const messages = packTickets(tickets, () => Infinity)
      const read = messages.flatMap(({ text }) => decodeTickets(text).tickets ?? [])
      expect(new Set(read.map(({ id }) => id))).toEqual(new Set(tickets.map(({ id }) => id)))
      expect(Math.max(...messages.map(({ text }) => text.length))).toBeLessThan(12_000)
    }
  })
})
