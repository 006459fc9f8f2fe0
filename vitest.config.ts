import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { refusedDeprecations } from './integration-tests/services/deprecations.ts'

const servers = new URL('integration-tests/services/setup.ts', import.meta.url).pathname
const reporter = new URL('integration-tests/services/reporter.ts', import.meta.url).pathname

/** `servers: false` for a package whose tests need none: `pnpm vitest run --project core` then starts none. */
function project(
  name: string,
  root: string,
  options: {
    readonly servers: boolean
    /** Tests of one file that run side by side, where they say that they may. Default 5. */
    readonly maxConcurrency?: number
    /** A part of the tests under the root; or all but a part. */
    readonly include?: string
    readonly exclude?: string
    /** Files side by side, once all others have run: for tests that mostly wait for their servers. */
    readonly maxWorkers?: number
  },
): TestProjectInlineConfiguration {
  const typeTests = `${root.startsWith('packages') ? 'test/' : ''}**/*.test-d.ts`
  return {
    root,
    test: {
      name,
      include: [options.include ?? (root.startsWith('packages') ? 'test/**/*.test.ts' : '**/*.test.ts')],
      ...refusedDeprecations,
      exclude: ['**/node_modules/**', ...(options.exclude === undefined ? [] : [options.exclude])],
      globalSetup: options.servers ? [servers] : [],
      maxConcurrency: options.maxConcurrency ?? 5,
      ...(options.maxWorkers === undefined
        ? {}
        : { maxWorkers: options.maxWorkers, sequence: { groupOrder: 1 } }),
      // No test waits by the clock, and each wait has a limit that knows how slow the machine is: these end what hangs.
      testTimeout: 600_000,
      hookTimeout: 600_000,
      typecheck: {
        enabled: globSync(typeTests, { cwd: root }).length > 0,
        include: [typeTests],
        tsconfig: root.startsWith('packages') ? 'test/tsconfig.json' : 'tsconfig.json',
      },
    },
  }
}

export default defineConfig({
  test: {
    // Most tests wait for servers and processes: two files side by side, where vitest would give two cores one.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      project('core', 'packages/core', { servers: false }),
      project('job-log', 'packages/job-log', { servers: true }),
      project('driver-database', 'packages/driver-database', { servers: true }),
      project('driver-rabbitmq', 'packages/driver-rabbitmq', { servers: true, maxWorkers: 3 }),
      // Its tests wait for SQS, and hardly ever work.
      project('driver-sqs', 'packages/driver-sqs', { servers: true, maxConcurrency: 20 }),
      project('testkit', 'packages/testkit', { servers: true }),
      project('cli', 'packages/cli', { servers: true }),
      project('errand', 'packages/errand', { servers: true }),
      project('integration-tests', 'integration-tests', {
        servers: true,
        exclude: '{rabbitmq,faults,simulation}/**',
      }),
      project('rabbitmq', 'integration-tests', {
        servers: true,
        include: 'rabbitmq/**/*.test.ts',
        maxWorkers: 3,
      }),
      // Its tests are processes that work as hard as they can.
      project('simulation', 'integration-tests', {
        servers: false,
        include: 'simulation/**/*.test.ts',
        maxConcurrency: 2,
      }),
    ],
    reporters: ['default', reporter],
  },
})
