import { existsSync } from 'node:fs'
import { ErrandError } from './errors.ts'

/**
 * The file URL of a module that a thread loads. It stands beside the module that asks, and has its extension, unbuilt and
 * built.
 * @param url `import.meta.url`; a bundle of CommonJS has none, and the module is nowhere then.
 */
export function threadModule(name: string, url: string | undefined): string {
  if (url === undefined) return ''
  const [extension = '.js'] = /\.[cm]?[jt]s$/.exec(url) ?? []
  return new URL(`./${name}${extension}`, url).href
}

/** @throws `E_CONFIG` where it is not there: bundlers do not take along what only a thread loads. */
export function checkThreadModule(module: string): void {
  if (module !== '' && (!module.startsWith('file:') || existsSync(new URL(module)))) return
  const what = module === '' ? 'a module of its heartbeat' : module
  throw new ErrandError(
    'E_CONFIG',
    `the worker cannot start: ${what} is missing; bundlers leave out modules that only a thread loads: mark the packages of Errand as external (esbuild: --external:errand --external:@errand/*)`,
  )
}
