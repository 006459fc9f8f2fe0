import { redis } from '@boringnode/queue/drivers/redis_adapter'
import { Redis } from 'ioredis'
import { getUrl } from '../servers/server.ts'
import { boringnode } from './boringnode.ts'
import type { OpenSubject } from './subject.ts'

// Keys cannot be given a prefix; the database is the run's own.
export const open: OpenSubject = ({ urls }) => {
  const connection = new Redis(getUrl(urls, 'redis'), { maxRetriesPerRequest: null })
  return boringnode(redis(connection), {
    prepare: async () => void (await connection.ping()),
    close: async () => connection.disconnect(),
  })
}
