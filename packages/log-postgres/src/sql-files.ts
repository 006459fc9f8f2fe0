import { existsSync, readFileSync } from 'node:fs'
import { ErrandError } from '@errand/core/ports'

/**
 * The folder `sql` of this package. It is published beside `dist`. All modules of a build are in `dist` itself, so this module
 * must be in `src` itself.
 */
const folder = '../sql/'

/**
 * The text of a file of the folder `sql`.
 * @param from the module that asks; a bundle of CommonJS has no `import.meta.url`.
 * @throws `E_CONFIG` where the file is not there
 */
export function readSql(file: string, from: string | undefined = import.meta.url): string {
  const url = from?.startsWith('file:') ? new URL(`${folder}${file}`, from) : undefined
  if (!url || !existsSync(url))
    throw new ErrandError(
      'E_CONFIG',
      `the job log cannot be migrated: sql/${file} of @errand/log-postgres is not there, as in a bundle, which leaves out what is no module; run errand migrate where the packages are installed, or mark the packages of Errand as external (esbuild: --external:errand --external:@errand/*)`,
    )
  return readFileSync(url, 'utf8')
}

/**
 * The text for one schema: `errand` before a dot, or alone in quotes, stands for it.
 * @param schema quoted
 */
export function inSchema(text: string, schema: string): string {
  return text.replaceAll(/\berrand(?=\.|'\))/g, schema)
}

/** The names of what a text creates. */
export function createdIn(text: string, kind: 'table' | 'view' | 'sequence' | 'function'): readonly string[] {
  return [...text.matchAll(new RegExp(`^create ${kind} errand\\.(\\w+)`, 'gm'))].map(([, name]) => name!)
}
