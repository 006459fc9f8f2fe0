import { Client } from 'pg'
import { onTestFinished } from 'vitest'
import { makeEmptyLog } from '../fleet/shared.ts'
import { readSchema, toServer } from '../fleet/urls.ts'

/** A schema of the test's own on the server of this run, for a job log that makes its tables itself. */
export async function ownSchema(): Promise<{
  readonly url: string
  readonly schema: string
  readonly client: Client
}> {
  const url = makeEmptyLog('postgres')
  const client = new Client({ connectionString: toServer(url) })
  await client.connect()
  onTestFinished(() => client.end())
  return { url, schema: readSchema(url), client }
}
