import { Client } from 'pg'
import { createErrand } from '@errand/core'
import type { Errand } from '@errand/core'
import { quietLogger } from '@errand/testkit'

/** An instance on a schema of its own, and what PostgreSQL says of it. */
export interface PrivateScene extends AsyncDisposable {
  readonly errand: Errand
  /** The first value of the answer, as text. */
  readonly ask: (text: string) => Promise<string>
}

export async function openPrivateScene(server: string, schema: string): Promise<PrivateScene> {
  const client = new Client({ connectionString: server })
  await client.connect()
  const errand = createErrand({ log: `${server}?schema=${schema}`, logger: quietLogger })
  await errand.migrate()
  return {
    errand,
    ask: async (text) => {
      const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' })
      return String(rows[0]?.[0])
    },
    [Symbol.asyncDispose]: async () => {
      await errand.close()
      await client.end()
    },
  }
}
