import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { declaresType, findAlias, findDecorator } from './typescript-source.ts'

/** TypeScript that Node's type stripping cannot run. */
export interface Construct {
  /** A noun with its article: `an enum`. */
  readonly what: string
  /** File and line, if known. */
  readonly where: string | undefined
  /** What to write instead. */
  readonly instead: string
}

const unsupported: readonly (readonly [RegExp, string, string])[] = [
  [/enum/, 'an enum', 'a const object, or a union of strings'],
  [/parameter property/, 'a parameter property', 'a field that the constructor assigns'],
  [/namespace|module keyword/, 'a namespace', 'a module'],
  [/import equals/, '`import … = require()`', 'a plain import'],
  [/export assignment/, '`export =`', '`export default`'],
]

/** The construct that made the import of `entry` fail. Undefined if the error has another cause. */
export function constructIn(error: unknown, entry: string): Construct | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? String(error.code) : undefined
  switch (code) {
    case 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX': {
      const [, what, instead] = unsupported.find(([pattern]) => pattern.test(error.message)) ?? []
      return {
        what: what ?? error.message,
        where: findPlace(error),
        instead: instead ?? 'plain JavaScript for it',
      }
    }
    case 'ERR_UNKNOWN_FILE_EXTENSION': {
      const [, file] = /"\.tsx" for (.+)$/.exec(error.message) ?? []
      return file === undefined ? undefined : { what: 'a .tsx file', where: file, instead: 'a .ts file' }
    }
    case 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING': {
      const instead = 'a package that ships JavaScript'
      return { what: 'TypeScript inside node_modules', where: findPlace(error), instead }
    }
    case 'ERR_UNSUPPORTED_DIR_IMPORT':
    case 'ERR_MODULE_NOT_FOUND':
    case 'MODULE_NOT_FOUND':
      return unresolved(error)
    case undefined:
    default:
      return error instanceof SyntaxError ? unparsed(error, entry) : undefined
  }
}

/** Finds an import that TypeScript resolves and Node does not. */
function unresolved(error: Error): Construct | undefined {
  const [, importer] = /imported from (.+?)$/m.exec(error.message) ?? /^- (.+)$/m.exec(error.message) ?? []
  const where = importer?.replace(/\?.*$/, '')
  const wanted = wantedFile(error, where)
  if (wanted === undefined) {
    const [, name] = /Cannot find (?:package|module) '([^']+)'/.exec(error.message) ?? []
    const alias = name !== undefined && where !== undefined ? findAlias(name, where) : undefined
    if (alias === undefined) return undefined
    return {
      what: `the path alias "${alias}" of tsconfig.json`,
      where,
      instead: 'a relative import, or "imports" of package.json',
    }
  }
  const named = 'imports that name the file as it is (./jobs.ts)'
  const source = sourceBehind(wanted)
  if (source !== undefined)
    return { what: `an import of ${source} as if it were JavaScript`, where, instead: named }
  if (isFile(`${wanted}.ts`) || isFile(`${wanted}.tsx`) || isFile(`${wanted}.mts`)) {
    return { what: 'an import without its extension', where, instead: named }
  }
  if (isFile(join(wanted, 'index.ts'))) return { what: 'an import of a folder', where, instead: named }
  return undefined
}

function wantedFile(error: Error, importer: string | undefined): string | undefined {
  if ('url' in error && typeof error.url === 'string' && error.url.startsWith('file:'))
    return fileURLToPath(error.url)
  const [, specifier] = /Cannot find module '(\.[^']*)'/.exec(error.message) ?? []
  if (specifier !== undefined && importer !== undefined) return join(dirname(importer), specifier)
  const [, path] = /(?:Cannot find module|Directory import) '(\/[^']*|[A-Z]:[^']*)'/.exec(error.message) ?? []
  return path
}

/** For `./jobs.js`, the name of an existing `jobs.ts`. */
function sourceBehind(wanted: string): string | undefined {
  const [, stem, kind] = /^(.*)\.([cm]?)js$/.exec(wanted) ?? []
  if (stem === undefined) return undefined
  const source = [`${stem}.${kind}ts`, `${stem}.tsx`].find(isFile)
  return source?.slice(dirname(source).length + 1)
}

/** Explains syntax errors that Node finds after type stripping. Node does not know that the file was TypeScript. */
function unparsed(error: SyntaxError, entry: string): Construct | undefined {
  const [, module, name] = /'([^']+)' does not provide an export named '([^']+)'/.exec(error.message) ?? []
  if (module !== undefined && name !== undefined) {
    const where = findPlace(error)
    const importer = where?.replace(/:\d+$/, '') ?? entry
    if (!declaresType(join(dirname(importer), module), name)) return undefined
    return { what: `the type ${name} imported as a value`, where, instead: `import { type ${name} }` }
  }
  const where = findDecorator(entry)
  return where === undefined ? undefined : { what: 'a decorator', where, instead: 'a plain function call' }
}

/** The first line of such an error's stack is `file:///…/worker.ts:12`. */
export function findPlace(error: Error): string | undefined {
  const [, url, line] = /^(file:\/\/\S+?)(?:\?[^\s:]*)?:(\d+)$/m.exec(error.stack ?? '') ?? []
  if (url !== undefined) return `${fileURLToPath(url)}:${line}`
  const [, path, at] = /^(\/\S+|[A-Z]:\\\S+):(\d+)$/m.exec(error.stack ?? '') ?? []
  return path === undefined ? undefined : `${path}:${at}`
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile()
}
