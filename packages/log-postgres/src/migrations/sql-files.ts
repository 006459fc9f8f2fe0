import { existsSync, readFileSync } from 'node:fs'
import { ErrandError } from '@errand/core/ports'

/** The folder `sql` of this package: it is published beside `dist`, so it is as far from there as from `src`. */
const folder = '../../sql/'

/**
 * A file of the folder `sql`, for one schema: there, `errand` before a dot, or alone in quotes, stands for the schema.
 * @param schema quoted
 * @param from the module that asks; a bundle of CommonJS has no `import.meta.url`.
 * @throws `E_CONFIG` where the file is not there
 */
export function readSql(file: string, schema: string, from: string | undefined = import.meta.url): string {
  const url = from?.startsWith('file:') ? new URL(`${folder}${file}`, from) : undefined
  if (!url || !existsSync(url))
    throw new ErrandError(
      'E_CONFIG',
      `the job log cannot be migrated: sql/${file} of @errand/log-postgres is not there, as in a bundle, which leaves out what is no module; run errand migrate where the packages are installed, or mark the packages of Errand as external (esbuild: --external:errand --external:@errand/*)`,
    )
  return readFileSync(url, 'utf8').replaceAll(/\berrand(?=\.|'\))/g, schema)
}
