// Runs what depends on the version of RabbitMQ once more, on the newest one of Debian, where its packages can be had.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './workspace.ts'
import { unpackServer } from './unpack-debian.ts'

const vitest = join(root, 'node_modules', '.bin', 'vitest')

let unpacked: string | undefined
try {
  unpacked = unpackServer('rabbitmq')
} catch (error) {
  console.log(`The newest RabbitMQ cannot be had here, and its tests are left out: ${String(error)}`)
  console.log('`pnpm test:matrix` runs them in containers.')
}
if (unpacked !== undefined) {
  const env = {
    ...process.env,
    // The other servers are not asked for, so a run that must have all of them is not what this is.
    CI: '',
    ERRAND_TEST_RABBITMQ_ROOT: unpacked,
    ERRAND_TEST_AMQP: 'private',
    ERRAND_TEST_POSTGRES: 'none',
    ERRAND_TEST_SQS: 'none',
  }
  // The driver's own tests, conformance among them: what it asks of the broker is all there.
  const { status } = spawnSync(vitest, ['run', '--project', 'driver-rabbitmq'], {
    cwd: root,
    stdio: 'inherit',
    env,
  })
  process.exitCode = status ?? 1
}
