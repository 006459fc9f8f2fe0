// Runs the tests that depend on a server's version against each version in containers. Needs Docker.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './workspace.ts'

/** The oldest that must work, the one that most have, and the newest. */
const versions = [
  { rabbitmq: 'rabbitmq:3.10-alpine', postgres: 'postgres:14-alpine' },
  { rabbitmq: 'rabbitmq:4.0-alpine', postgres: 'postgres:17-alpine' },
  { rabbitmq: 'rabbitmq:alpine', postgres: 'postgres:alpine' },
] as const
const vitest = join(root, 'node_modules', '.bin', 'vitest')
const projects = ['job-log', 'driver-database', 'driver-rabbitmq', 'rabbitmq', 'integration-tests']

const docker = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8' })
if (docker.status !== 0) {
  const why = docker.error ? 'there is no `docker` command' : docker.stderr.trim()
  console.error(`The matrix starts its servers in containers, and Docker does not run here: ${why}`)
  console.error('Without it, `pnpm test` runs the same tests against the servers of this machine.')
  process.exit(1)
}

const failed = versions.filter(({ rabbitmq, postgres }) => {
  console.log(`\n=== ${rabbitmq}, ${postgres}`)
  const { status } = spawnSync(vitest, ['run', ...projects.flatMap((name) => ['--project', name])], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      // A server that does not start fails the run.
      CI: 'true',
      ERRAND_TEST_AMQP: 'container',
      ERRAND_TEST_AMQP_IMAGE: rabbitmq,
      ERRAND_TEST_POSTGRES: 'container',
      ERRAND_TEST_POSTGRES_IMAGE: postgres,
    },
  })
  return status !== 0
})
for (const { rabbitmq, postgres } of failed) console.error(`failed: ${rabbitmq}, ${postgres}`)
process.exitCode = failed.length === 0 ? 0 : 1
