import { expect, test } from 'vitest'
import { faultNames, notAt } from './faults.ts'
import { placeKinds } from '../fleet/place.ts'
import { report } from './report.ts'
import type { Result } from './report.ts'

const all: readonly Result[] = placeKinds.flatMap((place) =>
  faultNames
    .filter((fault) => notAt(fault, place) === undefined)
    .map((fault) => ({
      fault,
      place: place.name,
      passed: !(fault === 'backlog' && place.name === 'sqs'),
      recoveries: fault === 'worker killed' ? [{ what: 'it', ms: 4_321, limitMs: 8_000 }] : [],
    })),
)

test('the page shows every fault on every place, with its time, what failed, and why a cell is empty', () => {
  const page = report(all)
  const row = (begin: string): string => page.split('\n').find((line) => line.startsWith(`| ${begin}`)) ?? ''
  expect(row('worker dies in a handler')).toMatch(/(\| ✓ 4\.3 s ){4}\|$/)
  expect(row('backlog')).toMatch(/\| ✓ \| ✓ \| ✓ \| ✗ \|$/)
  expect(row('memory alarm')).toMatch(/\| – \| – \| ✓ \| – \|$/)
  expect(page).toContain('- memory alarm, on SQLite, PostgreSQL: there is no broker.')
  expect(page).toContain(`${all.length - 1} of ${all.length} passed`)
})
