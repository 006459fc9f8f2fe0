import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

let registered = false

/**
 * Lets the project's own tsx compile everything that is imported from now on. Returns false if the project has no tsx.
 * Both halves of tsx are needed: in a package that is not `"type": "module"`, tsx compiles to CommonJS.
 */
export async function useTsx(folder: string): Promise<boolean> {
  if (registered) return true
  const halves = ['tsx/cjs/api', 'tsx/esm/api'].map((name) => resolveFrom(folder, name))
  for (const half of halves) {
    if (half === undefined) return false
    const api = (await import(pathToFileURL(half).href)) as { register(): unknown }
    api.register()
  }
  registered = true
  return true
}

/** The path of a package for the files of this folder, or undefined. */
function resolveFrom(folder: string, name: string): string | undefined {
  try {
    return createRequire(join(folder, 'package.json')).resolve(name)
  } catch {
    return undefined
  }
}
