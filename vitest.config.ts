import { globSync } from 'node:fs'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

const servers = new URL('integration-tests/services/setup.ts', import.meta.url).pathname
const reporter = new URL('integration-tests/services/reporter.ts', import.meta.url).pathname

/** `servers: false` for a package whose tests need none: `pnpm vitest run --project core` then starts none. */
function project(
  name: string,
  root: string,
  options: { readonly servers: boolean },
): TestProjectInlineConfiguration {
  const typeTests = `${root.startsWith('packages') ? 'test/' : ''}**/*.test-d.ts`
  return {
    root,
    test: {
      name,
      include: [root.startsWith('packages') ? 'test/**/*.test.ts' : '**/*.test.ts'],
      exclude: ['**/node_modules/**', ...(brokers ? [] : ['rabbitmq/**'])],
      globalSetup: options.servers ? [servers] : [],
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

/** The drivers for brokers are in progress: `pnpm test:brokers` runs their tests, and `pnpm test` will when they are done. */
const brokers = process.env['ERRAND_TEST_BROKERS'] === 'true'
const brokerProjects = [
  project('driver-rabbitmq', 'packages/driver-rabbitmq', { servers: true }),
  project('driver-sqs', 'packages/driver-sqs', { servers: true }),
]

export default defineConfig({
  test: {
    projects: [
      project('core', 'packages/core', { servers: false }),
      project('job-log', 'packages/job-log', { servers: true }),
      project('driver-database', 'packages/driver-database', { servers: true }),
      project('testkit', 'packages/testkit', { servers: true }),
      project('cli', 'packages/cli', { servers: true }),
      project('errand', 'packages/errand', { servers: true }),
      project('integration-tests', 'integration-tests', { servers: true }),
      ...(brokers ? brokerProjects : []),
    ],
    reporters: ['default', reporter],
  },
})
