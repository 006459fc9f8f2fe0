import { describe, expect, test } from 'vitest'
import { fromUrl as driverDatabase } from '@errand/driver-database'
import { fromUrl as driverRabbitmq } from '@errand/driver-rabbitmq'
import { fromUrl as driverSqs } from '@errand/driver-sqs'
import { postgres } from '@errand/log-postgres'
import { logFromUrl as jobLog } from './services/logs.ts'

type Open = (url: string) => unknown

const places: readonly (readonly [name: string, open: Open, url: string, known: string, slip: string])[] = [
  ['PostgreSQL', jobLog, 'postgres://user:hush@localhost/app', 'poolSize=3', 'poolsize=3'],
  ['PostgreSQL, by hand', postgres, 'postgres://user:hush@localhost/app', 'schema=jobs', 'shema=jobs'],
  ['RabbitMQ', driverRabbitmq, 'amqp://user:hush@localhost/app', 'prefix=shop', 'prefx=shop'],
  ['SQS', driverSqs, 'sqs://eu-west-1', 'createQueues=false', 'createQueue=false'],
  ['the database driver', driverDatabase, 'database:', 'poll=1s', 'pol=1s'],
]

describe.each(places)('the URL of %s', (_name, open, url, known, slip) => {
  const name = known.split('=')[0] ?? ''

  test('takes a parameter that it knows', () => {
    expect(() => open(`${url}?${known}`)).not.toThrow()
  })

  test('refuses a slip, says what was meant, and shows no value', () => {
    expect(() => open(`${url}?${slip}`)).toThrow(
      expect.objectContaining({
        code: 'E_OPTION',
        message: expect.stringContaining(`did you mean "${name}"`),
      }),
    )
  })

  test('refuses a parameter that stands there twice', () => {
    expect(() => open(`${url}?${known}&${known}`)).toThrow(
      expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining(`${name} twice`) }),
    )
  })

  test('shows nothing of a password with a ? in it', () => {
    for (const query of ['hush@elsewhere', 'hu=hush@elsewhere&sh', 'h/u/hush']) {
      let thrown: unknown
      try {
        open(`${url}?${query}`)
      } catch (error) {
        thrown = error
      }
      expect(thrown).toMatchObject({ code: 'E_OPTION' })
      expect(String(thrown)).not.toContain('hush')
    }
  })
})

test('a file of SQLite takes no parameters', () => {
  expect(() => jobLog('sqlite:./errand.db?mode=ro')).toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining('no parameter "mode"') }),
  )
})

test('an option of PostgreSQL that stands in the URL and beside it is refused', () => {
  expect(() => postgres({ url: 'postgres://localhost/app?schema=a', schema: 'b' })).toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining('schema') }),
  )
})
