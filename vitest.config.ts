import { globSync } from 'node:fs'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

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
  },
): TestProjectInlineConfiguration {
  const typeTests = `${root.startsWith('packages') ? 'test/' : ''}**/*.test-d.ts`
  return {
    root,
    test: {
      name,
      include: [root.startsWith('packages') ? 'test/**/*.test.ts' : '**/*.test.ts'],
      exclude: ['**/node_modules/**'],
      globalSetup: options.servers ? [servers] : [],
      maxConcurrency: options.maxConcurrency ?? 5,
      // No test waits by the clock, so a limit only ends what hangs: it is for slow machines.
      testTimeout: 30_000,
      hookTimeout: 60_000,
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
    projects: [
      project('core', 'packages/core', { servers: false }),
      project('job-log', 'packages/job-log', { servers: true }),
      project('driver-database', 'packages/driver-database', { servers: true }),
      project('driver-rabbitmq', 'packages/driver-rabbitmq', { servers: true }),
      // Its tests wait for SQS, and hardly ever work.
      project('driver-sqs', 'packages/driver-sqs', { servers: true, maxConcurrency: 20 }),
      project('testkit', 'packages/testkit', { servers: true }),
      project('cli', 'packages/cli', { servers: true }),
      project('errand', 'packages/errand', { servers: true }),
      project('integration-tests', 'integration-tests', { servers: true }),
    ],
    reporters: ['default', reporter],
  },
})
