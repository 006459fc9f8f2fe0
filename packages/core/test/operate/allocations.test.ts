import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const fixture = fileURLToPath(new URL('fixtures/allocations.ts', import.meta.url))
/** 64 MB: several times the counted bytes. */
const flags = ['--min-semi-space-size=64', '--max-semi-space-size=64']

// With thousands of waiters, the garbage of each is most of the cost of waiting. It was 11.5 kB before we measured it.
test('who waits for a result allocates less than 4.6 kB in core', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, fixture])
  expect((JSON.parse(stdout) as { readonly bytes: number }).bytes).toBeLessThan(4_600)
})
