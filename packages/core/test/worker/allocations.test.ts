import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const fixture = fileURLToPath(new URL('fixtures/allocations.ts', import.meta.url))
/** 64 MB: several times the counted bytes. */
const flags = ['--min-semi-space-size=64', '--max-semi-space-size=64']

// The garbage of a run is a large part of its cost, and the same on every machine. It was 6,859 bytes for a handler that
// ends at once, and 7,219 for one that waits, before we measured it.
test('a run allocates less than 2.6 kB in core, and less than 4.7 where its handler waits', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, fixture])
  const bytes = JSON.parse(stdout) as { readonly atOnce: number; readonly waiting: number }
  expect(bytes.atOnce).toBeLessThan(2_600)
  expect(bytes.waiting).toBeLessThan(4_700)
})
