// What anybody who can write to a broker may put on it.
import type { Ticket } from '@errand/core/ports'
import { newTicket } from '@errand/testkit'

/** Messages that are no tickets, each with what is wrong with it. */
export const malformed: readonly (readonly [what: string, content: Buffer])[] = [
  ['not JSON', Buffer.from('not json {')],
  ['nothing', Buffer.alloc(0)],
  ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0x80])],
  ['an id that is a number', message({ ...newTicket(), id: 7 as never })],
  ['a queue that is a list', message({ ...newTicket(), queue: ['work'] as never })],
  ['a lane that does not exist', message({ ...newTicket(), lane: 'constructor' as never })],
  [
    'a polluted prototype',
    Buffer.from('{"__proto__":{"polluted":true,"id":"x","queue":"work","lane":"low","log":"x"}}'),
  ],
  ['a megabyte', Buffer.alloc(1_000_000, 'x')],
]

export function message(ticket: Ticket): Buffer {
  return Buffer.from(JSON.stringify(ticket))
}
