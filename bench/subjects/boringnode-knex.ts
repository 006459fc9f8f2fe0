import { QueueSchemaService } from '@boringnode/queue'
import { knex as adapter } from '@boringnode/queue/drivers/knex_adapter'
import createKnex from 'knex'
import { getUrl } from '../servers/server.ts'
import { boringnode } from './boringnode.ts'
import type { OpenSubject } from './subject.ts'

// Knex's default pool (2 to 10 connections), on pg.
export const open: OpenSubject = ({ urls, space }) => {
  const knex = createKnex({
    client: 'pg',
    connection: getUrl(urls, 'postgres'),
    searchPath: [space],
  })
  return boringnode(adapter(knex), {
    prepare: async () => {
      await knex.raw('create schema if not exists ??', [space])
      const schema = new QueueSchemaService(knex)
      await schema.createJobsTable()
      await schema.createSchedulesTable()
    },
    close: () => knex.destroy(),
  })
}
