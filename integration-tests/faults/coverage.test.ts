import { expect, test } from 'vitest'
import { faultNames } from './faults.ts'
import { stories } from './stories.ts'

test('every fault has a story, and one', () => {
  expect(stories.map(({ fault }) => fault).toSorted()).toEqual(faultNames.toSorted())
})
