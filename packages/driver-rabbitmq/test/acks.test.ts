import { describe, expect, it } from 'vitest'
import type { Channel } from 'amqplib'
import { Acks } from '../src/acks.ts'

/** A channel that writes down what it is told: `ack 3+` is an ack of all tags up to 3. */
function recorded() {
  const frames: string[] = []
  const note =
    (what: string) =>
    ({ fields }: { fields: { deliveryTag: number } }, multiple = false): void =>
      void frames.push(`${what} ${fields.deliveryTag}${multiple ? '+' : ''}`)
  const channel = { ack: note('ack'), nack: note('nack') } as unknown as Channel
  const acks = new Acks(channel)
  for (let tag = 1; tag <= 6; tag += 1) acks.received(tag)
  return { acks, frames }
}

describe('acks', () => {
  it('of one turn go out as one frame for all up to the first that is still out', async () => {
    const { acks, frames } = recorded()
    await Promise.all([3, 1, 2].map((tag) => acks.ack(tag)))
    expect(frames).toEqual(['ack 3+'])
    expect(acks.outstanding).toBe(3)
  })

  it('never ack what is still out: those behind it go alone', async () => {
    const { acks, frames } = recorded()
    await Promise.all([1, 2, 4, 6].map((tag) => acks.ack(tag)))
    expect(frames).toEqual(['ack 2+', 'ack 4', 'ack 6'])
  })

  it('pass over what was handed back', async () => {
    const { acks, frames } = recorded()
    acks.requeue(2)
    await Promise.all([1, 3].map((tag) => acks.ack(tag)))
    expect(frames).toEqual(['nack 2', 'ack 3+'])
  })

  it('are sent once, whatever is said twice: a second ack of a tag would end the channel', async () => {
    const { acks, frames } = recorded()
    const acked = acks.ack(1)
    acks.requeue(1)
    await acked
    await acks.ack(1)
    acks.requeue(1)
    expect(frames).toEqual(['ack 1+'])
  })

  it('of a channel that is gone are forgotten', async () => {
    const { acks, frames } = recorded()
    acks.end()
    await acks.ack(1)
    acks.requeue(2)
    expect(frames).toEqual([])
  })
})
