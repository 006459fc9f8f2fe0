import { defineConfig } from 'vitest/config'
import { refusedDeprecations } from './integration-tests/services/deprecations.ts'

const folder = new URL('integration-tests/faults', import.meta.url).pathname

/** The faults that Errand must survive, on servers that the tests kill: `pnpm test:faults`, and not a part of `pnpm test`. */
export default defineConfig({
  test: {
    name: 'faults',
    root: folder,
    ...refusedDeprecations,
    setupFiles: [new URL('integration-tests/services/log-lines.ts', import.meta.url).pathname],
    include: ['**/*.test.ts'],
    // One place each, and mostly waiting for what was broken to come back.
    maxWorkers: 4,
    // They end what hangs: each wait has a limit of its own.
    testTimeout: 900_000,
    hookTimeout: 600_000,
    reporters: ['default', `${folder}/reporter.ts`],
  },
})
