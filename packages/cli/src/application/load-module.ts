import { existsSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ErrandError, isErrandError } from '@errand/core/ports'
import { addCommand } from './package-manager.ts'
import { packageType } from './package-type.ts'
import { useTsx } from './tsx.ts'
import { constructIn, findPlace } from './typescript.ts'
import type { Construct } from './typescript.ts'

export type Exports = Readonly<Record<string, unknown>>

/**
 * Imports a file of the project. Node's type stripping runs TypeScript. If it cannot, the project's own tsx does.
 * @param what for messages: `the worker`.
 * @throws `E_CONFIG` if there is no such file, or it throws; `E_TYPESCRIPT` if it needs tsx and there is none.
 */
export async function loadModule(file: string, what: string): Promise<Exports> {
  if (!existsSync(file)) throw new ErrandError('E_CONFIG', `${what} ${short(file)} does not exist`)
  const folder = dirname(file)
  const url = pathToFileURL(file).href
  // Without "type": "module", Node and tsx disagree on what a .ts file is. If a module failed to load as one kind, it
  // cannot be loaded as the other. So tsx must come first, or not at all.
  const early = isTypeScript(file) && !isModule(file) && (await useTsx(folder))
  try {
    return unwrapped(await import(url))
  } catch (error) {
    const construct = early ? undefined : constructIn(error, file)
    if (!construct) throw failed(what, file, error)
    if (!(await useTsx(folder))) throw needsTsx(what, file, construct, error)
  }
  try {
    // Node remembers that the plain URL could not be loaded.
    return unwrapped(await import(`${url}?errand=tsx`))
  } catch (error) {
    throw failed(what, file, error)
  }
}

/** Compiled to CommonJS by tsx, a module's exports are the properties of its default export. */
function unwrapped(exports: Exports): Exports {
  const inner = exports['default']
  if (typeof inner !== 'object' || inner === null || !('default' in inner)) return exports
  return inner
}

function failed(what: string, file: string, error: unknown): ErrandError {
  const message = error instanceof Error ? (error.message.split('\nRequire stack')[0] ?? '') : String(error)
  const [, missing] = /Cannot find (?:package|module) '([^'./][^']*)'/.exec(message) ?? []
  if (missing !== undefined) {
    const add = addCommand(dirname(file), missing, 'production')
    const text = `${what} ${short(file)} imports ${missing}, which is not installed: ${add}`
    return new ErrandError('E_CONFIG', text, { cause: error })
  }
  const kind = isErrandError(error) ? error.code : error instanceof Error ? error.name : 'it threw'
  const place = error instanceof SyntaxError ? findPlace(error) : undefined
  const where = place === undefined ? '' : ` (${short(place)})`
  return new ErrandError(
    'E_CONFIG',
    `${what} ${short(file)} could not be loaded: ${kind}: ${message}${where}${adviceOnType(message, place ?? file)}`,
    {
      cause: error,
    },
  )
}

/** Node takes each file of such a package for CommonJS, and an `import` in it for a mistake. */
function adviceOnType(message: string, place: string): string {
  if (!/import statement outside a module|Unexpected token 'export'/.test(message)) return ''
  const file = place.replace(/:\d+$/, '')
  const found = packageType(file)
  if (found?.type !== 'commonjs') return ''
  return `; ${short(found.manifest)} says "type": "commonjs": run npm pkg set type=module, or name the file ${short(file.replace(/\.([jt]s)$/, '.m$1'))}`
}

function needsTsx(what: string, file: string, construct: Construct, cause: unknown): ErrandError {
  const where = construct.where === undefined ? '' : ` (${short(construct.where)})`
  const add = addCommand(dirname(file), 'tsx', 'development')
  return new ErrandError(
    'E_TYPESCRIPT',
    `${what} ${short(file)} uses ${construct.what}${where}, which Node's type stripping cannot run, and the project has no tsx. ` +
      `Add it (${add}), or write ${construct.instead}, or build the project and name the JavaScript file`,
    { cause },
  )
}

function isTypeScript(file: string): boolean {
  return /\.[cm]?tsx?$/.test(file)
}

function isModule(file: string): boolean {
  if (/\.m[jt]s$/.test(file)) return true
  if (/\.c[jt]s$/.test(file)) return false
  return packageType(file)?.type === 'module'
}

/** The path as people write it: relative to the current folder. */
export function short(path: string): string {
  const from = relative(process.cwd(), path)
  return from.startsWith('..') || from === '' ? path : from
}
