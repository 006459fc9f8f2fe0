import { defineConfig } from 'vitest/config'
import { filesAtOnce, testProject } from './integration-tests/services/project.ts'

const reporter = new URL('integration-tests/services/reporter.ts', import.meta.url).pathname
const folder = new URL('integration-tests', import.meta.url).pathname

export default defineConfig({
  test: {
    maxWorkers: filesAtOnce,
    projects: [
      'packages/*/test/vitest.config.ts',
      testProject({
        name: 'integration-tests',
        folder,
        servers: true,
        exclude: '{rabbitmq,faults,simulation}/**',
      }),
      testProject({
        name: 'rabbitmq',
        folder,
        servers: true,
        include: 'rabbitmq/**/*.test.ts',
      }),
      // Its tests are processes that work as hard as they can.
      testProject({
        name: 'simulation',
        folder,
        servers: false,
        include: 'simulation/**/*.test.ts',
        maxConcurrency: 2,
      }),
    ],
    reporters: ['default', reporter],
  },
})
