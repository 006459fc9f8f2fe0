import { expect, test } from 'vitest'
import { splitCalls, summarizeStatements } from './statements.ts'

const calls = [10, 0, 20, 10, 0, 30, 10].map((rows, index) => ({ ms: index, rows }))

test('calls are parted by the rows that they were about', () => {
  const parts = splitCalls(calls, 4).map((part) => part.map(({ rows }) => rows))
  expect(parts).toEqual([[10, 20], [10], [30], [10]])
})

test('the figures of some calls', () => {
  expect(summarizeStatements(calls)).toEqual({ calls: 7, rows: 80, p50Ms: 3, meanMs: 3, maxMs: 6 })
  expect(summarizeStatements([])).toEqual({ calls: 0, rows: 0, p50Ms: 0, meanMs: 0, maxMs: 0 })
})
