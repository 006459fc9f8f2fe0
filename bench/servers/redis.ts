import { Redis } from 'ioredis'
import type { FindServer } from './server.ts'

const loopback = 'redis://127.0.0.1:6379'
const mostDatabases = 15

/** A numbered database that was empty, and is flushed after every phase. The URL may name it: `redis://host:6379/9`. */
export const findRedis: FindServer = async (setting) => {
  const url = new URL(setting ?? loopback)
  const named = /^\/(\d+)$/.exec(url.pathname)?.[1]
  const client = new Redis(url.href, {
    db: 0,
    lazyConnect: true,
    connectTimeout: 3_000,
    retryStrategy: () => null,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    const numbers =
      named === undefined
        ? Array.from({ length: mostDatabases }, (_, back) => mostDatabases - back)
        : [Number(named)]
    const number = await firstEmpty(client, numbers)
    if (number === undefined) {
      client.disconnect()
      return 'Redis has no empty database to work in; name one as redis://host:port/N'
    }
    const version = /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? ''
    const append = (await client.config('GET', 'appendonly').catch(() => [])) as string[]
    url.pathname = `/${number}`
    const flush = async (): Promise<void> => void (await client.flushdb())
    return {
      url: url.href,
      what: `Redis ${version}, database ${number}, appendonly ${append[1] ?? 'unknown'}`,
      wipe: flush,
      release: async () => {
        await flush()
        client.disconnect()
      },
    }
  } catch (error) {
    client.disconnect()
    return `no Redis: ${(error as Error).message}`
  }
}

async function firstEmpty(client: Redis, numbers: readonly number[]): Promise<number | undefined> {
  for (const number of numbers) {
    try {
      await client.select(number)
      if ((await client.dbsize()) === 0) return number
    } catch {
      // Fewer databases than that.
    }
  }
  return undefined
}
