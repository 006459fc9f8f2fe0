import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')

/** Code that starts processes and whose log lines are not checked. */
const others: Readonly<Record<string, string>> = {
  'integration-tests/deprecations.test.ts': 'two lines of JavaScript, without Errand',
  'integration-tests/docs.test.ts': 'a script that compares pages',
  'integration-tests/failure/disk.test.ts':
    'node --check, to see whether a user may run it; all else by the fleet',
  'integration-tests/rabbitmq/driver-faults.test.ts': 'openssl',
  'integration-tests/services/debian-packages.ts': 'apt-get and dpkg-deb',
  'integration-tests/services/leash.ts': 'servers',
  'integration-tests/services/pgbouncer.ts': 'PgBouncer',
  'integration-tests/services/private-postgres.ts': 'PostgreSQL',
  'integration-tests/services/private-rabbitmq.ts': 'RabbitMQ',
  'integration-tests/services/private-sqs.ts': 'fauxqs',
  'integration-tests/services/small-disk.ts': 'mount and sleep, in a namespace of their own',
  'integration-tests/simulation/search-planted.ts': 'the simulation, whose loggers are its own',
  'packages/cli/test/modules.test.ts': 'a command that prints its help, for the modules that it loads',
  'packages/cli/test/runners.test.ts': 'npm --version; all else by the helper',
}

it('every test that starts a process has its log lines checked', () => {
  const files = globSync(
    ['packages/*/test/**/*.ts', 'integration-tests/**/*.ts', 'packages/testkit/src/**/*.ts'],
    {
      cwd: root,
      exclude: (path) => path.endsWith('node_modules'),
    },
  )
  const starting = files.filter((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return (
      text.includes(`from 'node:child_process'`) &&
      /\b(?:spawn|fork|execFile)(?:Sync)?\(/.test(text) &&
      !/\bcheck(?:Output|LogLines)\(/.test(text)
    )
  })
  expect(starting.filter((file) => !(file in others))).toEqual([])
})
