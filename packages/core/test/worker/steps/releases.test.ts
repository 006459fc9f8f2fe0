import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../../../../../integration-tests/services/tries.ts'
import { Releases } from '../../../src/worker/steps/releases.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('of what is asked for, the earliest goes first, and what follows from it begins before the next', async () => {
  const releases = new Releases()
  const told: string[] = []
  const ask = async (order: number): Promise<void> => {
    told.push(await releases.release(order, () => `${order}`))
  }
  const third = ask(3)
  const first = ask(1).then(() => ask(2))
  await Promise.all([third, first])
  expect(told).toEqual(['1', '2', '3'])
})

test('one that cannot be read holds up no other', async () => {
  const releases = new Releases()
  const broken = releases.release(1, async () => {
    await turn()
    throw new Error('no key')
  })
  const next = releases.release(2, () => 'fine')
  await expect(broken).rejects.toThrow('no key')
  expect(await next).toBe('fine')
  expect(await releases.release(3, () => 'later')).toBe('later')
})

test('a race ends in every run as it ended in the first, however it is asked and decoded', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.record({ order: fc.integer({ min: 1, max: 50 }), slow: fc.nat({ max: 4 }) }), {
        selector: ({ order }) => order,
        minLength: 2,
        maxLength: 8,
      }),
      async (waits) => {
        const releases = new Releases()
        const asked = waits.map(({ order, slow }) =>
          releases.release(order, async () => {
            for (let left = slow; left > 0; left -= 1) await turn()
            return order
          }),
        )
        expect(await Promise.race(asked)).toBe(Math.min(...waits.map(({ order }) => order)))
        await Promise.all(asked)
      },
    ),
    tries(100),
  )
})
