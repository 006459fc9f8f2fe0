import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Dispatched } from './audit/audit.ts'
import type { Place } from './place.ts'
import { Unusable } from './unusable.ts'

const name = 'dispatched.json'

/** The dispatcher's own record of its jobs, in order. The audit compares the log and the ledger with it. */
export async function writeRecord({ out }: Place, dispatched: readonly Dispatched[]): Promise<void> {
  await writeFile(join(out, name), `${JSON.stringify(dispatched, undefined, 1)}\n`)
}

export async function readRecord({ out }: Place): Promise<readonly Dispatched[]> {
  try {
    return JSON.parse(await readFile(join(out, name), 'utf8')) as readonly Dispatched[]
  } catch (cause) {
    throw new Unusable(`${out} holds no finished demo; run one first: npx -y pnpm@12 demo`, { cause })
  }
}
