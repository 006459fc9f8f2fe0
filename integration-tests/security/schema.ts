import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { inject, onTestFinished } from 'vitest'

/** A schema of the test's own on the server of this run, for a job log that makes its tables itself. */
export async function ownSchema(): Promise<{
  readonly url: string
  readonly schema: string
  readonly client: Client
}> {
  const schema = `security_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const client = new Client({ connectionString: inject('postgres') })
  await client.connect()
  onTestFinished(async () => {
    await client.query(`drop schema if exists ${schema} cascade`)
    await client.end()
  })
  const url = new URL(inject('postgres')!)
  for (const [name, value] of Object.entries({ schema, poolSize: '2', migrate: 'true' }))
    url.searchParams.set(name, value)
  return { url: url.href, schema, client }
}
