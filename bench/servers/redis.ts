import { execFile } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { freePort, leashed } from './leash.ts'
import type { Leashed } from './leash.ts'
import { pidListening } from './listening.ts'
import type { FindServer } from './server.ts'

const loopback = 'redis://127.0.0.1:6379'
const mostDatabases = 15

/**
 * A server of the run's own, only in memory, if the machine has the program. Else a numbered database that was empty, and is
 * flushed after every phase. The URL may name it: `redis://host:6379/9`.
 */
export const findRedis: FindServer = async (setting, folder) => {
  const own = setting === undefined ? await startRedis(folder) : undefined
  const url = new URL(own?.url ?? setting ?? loopback)
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
      await own?.server.end()
      return 'Redis has no empty database to work in; name one as redis://host:port/N'
    }
    const version = /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? ''
    const append = (await client.config('GET', 'appendonly').catch(() => [])) as string[]
    url.pathname = `/${number}`
    const flush = async (): Promise<void> => void (await client.flushdb())
    return {
      url: url.href,
      what: `Redis ${version}, database ${number}, appendonly ${append[1] ?? 'unknown'}${own ? ', private' : ''}`,
      pid: pidListening(url.href, 6379),
      wipe: flush,
      release: async () => {
        await flush()
        client.disconnect()
        await own?.server.end()
      },
    }
  } catch (error) {
    client.disconnect()
    await own?.server.end()
    return `no Redis: ${(error as Error).message}`
  }
}

async function firstEmpty(client: Redis, numbers: readonly number[]): Promise<number | undefined> {
  for (const number of numbers) {
    try {
      await client.select(number)
      if ((await client.dbsize()) === 0) return number
    } catch {
      // The server has fewer databases.
    }
  }
  return undefined
}

const program = 'redis-server'
const bootMs = 10_000

async function startRedis(
  folder: string,
): Promise<{ readonly url: string; readonly server: Leashed } | undefined> {
  const isHere = await promisify(execFile)(program, ['--version']).catch(() => undefined)
  if (isHere === undefined) return undefined
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const server = leashed('TERM', [
    program,
    '--port',
    `${port}`,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--dir',
    folder,
  ])
  const deadline = Date.now() + bootMs
  while (pidListening(url, port) === undefined && Date.now() < deadline) await pause(50)
  return { url, server }
}
