import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dropSchema } from './postgres.ts'
import { Unusable } from './unusable.ts'

/** The folder of a demo's output, which holds everything that it leaves. */
export interface Place {
  readonly out: string
  readonly database: string
  readonly ledger: string
  readonly sheet: string
}

export function placeIn(out: string): Place {
  return {
    out,
    database: join(out, 'errand.db'),
    ledger: join(out, 'ledger.jsonl'),
    sheet: join(out, 'index.html'),
  }
}

const markName = '.errand-demo'

/** The folder, empty and marked as the demo's own. A folder that is not the demo's own, and not empty, is refused. */
export async function clear({ out }: Place): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return []
    throw new Unusable(`${out} cannot be used: ${error.message}`, { cause: error })
  })
  if (names.length > 0 && !names.includes(markName)) {
    throw new Unusable(`${out} is not empty, and was not made by this demo; name another folder with --out`)
  }
  await remove(out)
  try {
    await mkdir(out, { recursive: true })
    await writeFile(
      join(out, markName),
      'Made by the Errand demo, which replaces this folder when it runs again.\n',
    )
  } catch (cause) {
    throw new Unusable(`${out} cannot be written: ${String(cause)}`, { cause })
  }
}

/** Removes what a demo left, its schema in PostgreSQL too. */
export async function remove(out: string): Promise<void> {
  const schema = await readFile(join(out, schemaName), 'utf8').catch(() => undefined)
  if (schema !== undefined) {
    // The server may be gone by now. The folder must still be removed.
    await dropSchema(schema.trim()).catch((error: unknown) => {
      process.stderr.write(`the schema of the last demo could not be dropped: ${String(error)}\n`)
    })
  }
  await rm(out, { recursive: true, force: true })
}

const schemaName = 'schema.url'

/** Notes which schema this demo has made, for the next one to drop. Only its owner may read it: it may hold a password. */
export async function noteSchema({ out }: Place, url: string): Promise<void> {
  await writeFile(join(out, schemaName), `${url}\n`, { mode: 0o600 })
}

/** The log of the demo whose output is here. */
export async function readLogUrl({ out, database }: Place): Promise<string> {
  const schema = await readFile(join(out, schemaName), 'utf8').catch(() => undefined)
  return schema?.trim() ?? sqliteUrl(database)
}

/** A path may have characters that have another meaning in a URL. */
export function sqliteUrl(file: string): string {
  return `sqlite:${encodeURI(file).replaceAll('?', '%3F').replaceAll('#', '%23')}`
}
