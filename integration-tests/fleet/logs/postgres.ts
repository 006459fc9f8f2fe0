import { missingPostgres, onServer, startPrivatePostgres } from '../../services/private-postgres.ts'
import type { LogKind } from '../place.ts'
import { readSchema, toServer, withParameters } from '../urls.ts'

export const log: LogKind = {
  name: 'postgres',
  title: 'PostgreSQL',
  cannot: { 'eight processes on one file': 'SQLite alone' },
  server: {
    provided: 'postgres',
    missing: () => missingPostgres(),
    start: startPrivatePostgres,
  },
  // Many processes share a server that may have a hundred connections for all tests.
  toUrl: (server, schema) => withParameters(server ?? '', { schema, poolSize: '4' }),
  hasty: (url) => withParameters(url, { statementTimeout: '3000' }),
  whileLocked: (url, act) =>
    onServer(toServer(url), async (client) => {
      const tables = ['live', 'jobs', 'workers'].map((table) => `${readSchema(url)}.${table}`)
      await client.query('begin')
      await client.query(`lock table ${tables.join()} in access exclusive mode`)
      await act()
      await client.query('rollback')
    }),
  remove: (url) =>
    onServer(toServer(url), async (client) => {
      await client.query(`drop schema if exists ${readSchema(url)} cascade`)
    }),
}
