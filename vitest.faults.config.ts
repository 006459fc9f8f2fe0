import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { defineConfig } from 'vitest/config'
import { processOptions } from './integration-tests/services/process-options.ts'

const tests = new URL('integration-tests', import.meta.url).pathname
const root = `${tests}/faults`

const common = {
  root,
  ...processOptions,
  setupFiles: [`${tests}/services/log-lines.ts`],
  // They end what hangs: each wait has a limit of its own.
  testTimeout: 900_000,
  hookTimeout: 600_000,
}

/** Each log and each broker is a file. */
const places = ['logs', 'brokers'].flatMap((folder) =>
  readdirSync(`${tests}/fleet/${folder}`).map((file) => basename(file, '.ts')),
)

/**
 * The faults that Errand must survive, on servers that the tests kill: `pnpm test:faults`, and not a part of `pnpm test`.
 * A project for each place: `pnpm test:faults --project sqs`.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { ...common, name: 'faults', include: ['*.test.ts'], exclude: ['place.test.ts'] } },
      ...places.map((place) => ({
        test: { ...common, name: place, include: ['place.test.ts'], provide: { place } },
      })),
    ],
    // One place each, and mostly waiting for what was broken to come back.
    maxWorkers: 4,
    reporters: ['default', `${root}/reporter.ts`],
  },
})
