import { expect, test } from 'vitest'
import { drawChoices } from './choices.ts'
import type { Choice } from './choices.ts'
import { soakFaults } from './faults.ts'

function first(count: number, seed: number): readonly Choice[] {
  const choices = drawChoices(soakFaults, seed)
  return Array.from({ length: count }, () => choices.next().value)
}

test('a seed gives the same faults again, and another seed others', () => {
  expect(first(100, 7)).toEqual(first(100, 7))
  expect(first(100, 7)).not.toEqual(first(100, 8))
})

test('every fault happens once before any happens again', () => {
  for (const seed of [1, 2, 3]) {
    const faults = first(3 * soakFaults.length, seed).map(({ fault }) => fault)
    for (let round = 0; round < 3; round += 1) {
      const dealt = faults.slice(round * soakFaults.length, (round + 1) * soakFaults.length)
      expect(dealt.toSorted()).toEqual([...soakFaults].toSorted())
    }
  }
})
