import { join } from 'node:path'
import { constants, runInThisContext } from 'node:vm'
import { ErrandError } from '@errand/core/ports'

/**
 * Imports modules before everything else, as `node --import` does: names and paths are resolved from the folder that
 * the command was started in.
 * @throws `E_CONFIG` when one cannot be loaded.
 */
export async function preload(specifiers: readonly string[]): Promise<void> {
  if (specifiers.length === 0) return
  // An import that stands in a file of that folder: only so a package is resolved as the application would.
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
