import { join } from 'node:path'
import { constants, runInThisContext } from 'node:vm'
import { ErrandError } from '@errand/core/ports'

/**
 * Imports modules before everything else, as `node --import` does. Names and paths are resolved from the folder in
 * which the command was started.
 * @throws `E_CONFIG` if one cannot be loaded.
 */
export async function preload(specifiers: readonly string[]): Promise<void> {
  if (specifiers.length === 0) return
  // The import must seem to be in a file of that folder. Only then is a package resolved as the application resolves
  // it.
  const importHere = runInThisContext('(specifier) => import(specifier)', {
    filename: join(process.cwd(), 'errand-import.mjs'),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }) as (specifier: string) => Promise<unknown>
  for (const specifier of specifiers) {
    try {
      await importHere(specifier)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new ErrandError('E_CONFIG', `--import ${specifier} could not be loaded: ${message}`, {
        cause: error,
      })
    }
  }
}
