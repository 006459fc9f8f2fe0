// Runs the tests that depend on a server's version against each version: in containers, and where Docker does not run against the
// newest ones of Debian, unpacked into folders.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { unpackServer } from './unpack-debian.ts'
import { root } from './workspace.ts'

/** The oldest that must work, the one that most have, and the newest. */
const versions = [
  { rabbitmq: 'rabbitmq:3.10-alpine', postgres: 'postgres:14-alpine' },
  { rabbitmq: 'rabbitmq:4.0-alpine', postgres: 'postgres:17-alpine' },
  { rabbitmq: 'rabbitmq:alpine', postgres: 'postgres:alpine' },
] as const
const vitest = join(root, 'node_modules', '.bin', 'vitest')
const projects = [
  'log-postgres',
  'log-sqlite',
  'driver-database',
  'driver-rabbitmq',
  'rabbitmq',
  'integration-tests',
]

/** Whether it passed. A server that does not start fails the run where `CI` is true. */
function passes(what: string, filters: readonly string[], env: NodeJS.ProcessEnv): boolean {
  console.log(`\n=== ${what}`)
  const { status } = spawnSync(vitest, ['run', ...filters], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  if (status !== 0) console.error(`failed: ${what}`)
  return status === 0
}

function inContainers(): readonly boolean[] {
  return versions.map(({ rabbitmq, postgres }) =>
    passes(
      `${rabbitmq}, ${postgres}`,
      projects.flatMap((name) => ['--project', name]),
      {
        CI: 'true',
        ERRAND_TEST_AMQP: 'container',
        ERRAND_TEST_AMQP_IMAGE: rabbitmq,
        ERRAND_TEST_POSTGRES: 'container',
        ERRAND_TEST_POSTGRES_IMAGE: postgres,
      },
    ),
  )
}

/** What else they need is the machine's own. @throws where the packages cannot be had */
function unpacked(): readonly boolean[] {
  const rabbitmq = unpackServer('rabbitmq')
  const pgbouncer = unpackServer('pgbouncer')
  return [
    passes('the newest RabbitMQ of Debian', ['--project', 'driver-rabbitmq', '--project', 'rabbitmq'], {
      ERRAND_TEST_RABBITMQ_ROOT: rabbitmq,
      ERRAND_TEST_AMQP: 'private',
    }),
    passes('the newest PgBouncer of Debian', ['--project', 'integration-tests', 'pgbouncer'], {
      ERRAND_TEST_PGBOUNCER_ROOT: pgbouncer,
    }),
  ]
}

const docker = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8' })
try {
  const passed = docker.status === 0 ? inContainers() : unpacked()
  process.exitCode = passed.every(Boolean) ? 0 : 1
} catch (error) {
  const why = docker.error ? 'there is no `docker` command' : docker.stderr.trim()
  console.error(`The matrix starts its servers in containers, and Docker does not run here: ${why}`)
  console.error(`Nor can they be unpacked from Debian's packages: ${String(error)}`)
  console.error('Without them, `pnpm test` runs the same tests against the servers of this machine.')
  process.exitCode = 1
}
