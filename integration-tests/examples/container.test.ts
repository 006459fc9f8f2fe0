import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { workerDefaults } from '../../packages/core/src/config/defaults.ts'

const read = (name: string): string =>
  readFileSync(join(import.meta.dirname, '..', '..', 'examples', 'container', name), 'utf8')

test('the Dockerfile and the Deployment start the command itself, without a runner or a shell', () => {
  expect(read('Dockerfile')).toMatch(/^CMD \["node_modules\/\.bin\/errand", "work"\]$/m)
  expect(read('kubernetes.yaml')).toContain("command: ['node_modules/.bin/errand', 'work']")
})

test("the pod's grace leaves the worker's, and ten seconds for what follows it", () => {
  const [, seconds] = /^ *terminationGracePeriodSeconds: (\d+)$/m.exec(read('kubernetes.yaml')) ?? []
  expect(Number(seconds) * 1_000).toBeGreaterThanOrEqual(workerDefaults.graceMs + 10_000)
})
