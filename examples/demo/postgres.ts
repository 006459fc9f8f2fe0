import { randomBytes } from 'node:crypto'
import { Client } from 'pg'

/** The same database, with the job log in a new schema. */
export function ownSchema(url: string): string {
  const own = new URL(url)
  own.searchParams.set('schema', `errand_demo_${randomBytes(4).toString('hex')}`)
  return own.href
}

export function parseSchema(url: string): string | undefined {
  return new URL(url).searchParams.get('schema') ?? undefined
}

export async function dropSchema(url: string): Promise<void> {
  const schema = parseSchema(url)
  if (schema === undefined || !/^errand_demo_[0-9a-f]+$/.test(schema)) return
  const server = new URL(url)
  server.searchParams.delete('schema')
  const client = new Client({ connectionString: server.href, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    await client.query(`drop schema if exists "${schema}" cascade`)
  } finally {
    await client.end()
  }
}

/** The URL without its password, to be shown. */
export function shown(url: string): string {
  if (!URL.canParse(url) || url.startsWith('sqlite:')) return url
  const safe = new URL(url)
  if (safe.password !== '') safe.password = '***'
  return safe.href
}
