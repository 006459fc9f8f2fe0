import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const workspace = fileURLToPath(new URL('../servers/package.json', import.meta.url))

/** Where a package of the servers' own workspace lies, or a dependency of the file `from`; undefined if it is not installed. */
export function resolveServer(name: string, from: string = workspace): string | undefined {
  try {
    return createRequire(from).resolve(name)
  } catch {
    return undefined
  }
}

export async function importServer(name: string): Promise<Record<string, unknown> | undefined> {
  const path = resolveServer(name)
  return path === undefined
    ? undefined
    : ((await import(pathToFileURL(path).href)) as Record<string, unknown>)
}
