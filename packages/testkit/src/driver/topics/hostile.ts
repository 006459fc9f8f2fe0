import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import { newTicket } from '../../fixtures.ts'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

const valid = (over: object) => JSON.stringify({ ...newTicket(), ...over })

/** Messages that were found on brokers, and messages that somebody might put there on purpose. */
const malformed: readonly (readonly [what: string, message: string | Uint8Array])[] = [
  ['nothing', ''],
  ['no JSON', 'not json {'],
  ['bytes that are no text', new Uint8Array([0xff, 0xfe, 0x00, 0x80, 0xc0])],
  ['null', 'null'],
  ['a number', '42'],
  ['a list', '[{"id":"x"}]'],
  ['an empty object', '{}'],
  ['no id', valid({ id: undefined })],
  ['an id that is no text', valid({ id: 7 })],
  ['a lane that does not exist', valid({ lane: 'urgent' })],
  ['a lane by the name of an inherited property', valid({ lane: 'constructor' })],
  ['a queue that is no text', valid({ queue: ['a'] })],
  ['a polluted prototype', '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'],
  ['further ids that are no list', valid({ more: 'x' })],
  ['further ids of mixed types', valid({ more: ['a', 7, null] })],
  ['a further id that is empty', valid({ more: ['a', ''] })],
  ['one id twice', valid({ more: ['a', 'b', 'a'] })],
  ['its own id among the further ones', valid({ id: 'a', more: ['a'] })],
  ['a thousand ids', valid({ more: Array.from({ length: 1_000 }, (_, index) => `${index}`) })],
  ['further ids without end', valid({ more: Array.from({ length: 100_000 }, (_, index) => `${index}`) })],
  ['a megabyte', 'x'.repeat(1_000_000)],
  ['deep nesting', '['.repeat(50_000)],
]

export function describeHostile(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  const { publishRaw, delivers, depth } = harness.capabilities

  describe.runIf(publishRaw === true)('messages that are no tickets', () => {
    it.for(malformed)('%s is set aside, and the subscription lives on', async ([, message], test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      const waiting = on.next(subscription, 5)
      await on.publishRaw(message)
      const [ticket] = await on.offer(1)
      const got = await waiting
      expect(listIds(got)).toEqual([ticket?.id])
      await Promise.all(got.map((delivery) => delivery.ack()))
      expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
      // It must not come again and again.
      if (depth !== 'unknown')
        await on.until(async () => (await on.driver.depth(on.queue)) === 0, 'none waits')
    })

    it('a ticket with more in it than Errand knows is taken for what it says', async (test) => {
      const on = await scene(test)
      const ticket = newTicket({ queue: on.queue })
      await on.publishRaw(JSON.stringify({ ...ticket, extra: { deep: [1, 2, 3] } }))
      const [delivery] = await on.drain(await on.subscribe(), 1)
      expect(delivery?.ticket).toEqual(ticket)
    })
  })

  describe.runIf(delivers === 'tickets')('tickets that claim odd things', () => {
    it('come back to the letter: the log decides what they are worth', async (test) => {
      const on = await scene(test)
      const odd = [
        newTicket({ queue: on.queue, id: "'; drop table jobs; --" }),
        newTicket({ queue: on.queue, id: '👩🏽‍🚀 "quoted" \\ \0 \u2028', log: '' }),
        newTicket({ queue: on.queue, id: 'x'.repeat(2_000), log: '__proto__' }),
      ]
      await on.driver.publish(odd)
      const got = await on.drain(await on.subscribe(), odd.length)
      const byId = (a: { id: string }, b: { id: string }) => a.id.localeCompare(b.id)
      expect(got.map(({ ticket }) => ticket).toSorted(byId)).toEqual(odd.toSorted(byId))
    })

    it('one ticket may be published again and again: it is delivered, and the log refuses the copies', async (test) => {
      const on = await scene(test)
      const [ticket] = await on.offer(1)
      await on.driver.publish([ticket!, ticket!])
      const got = await on.drain(await on.subscribe(), 1)
      expect(listIds(got)).toContain(ticket?.id)
    })
  })
}
