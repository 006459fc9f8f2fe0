import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

// Used only after an import has failed, to name the reason. Patterns are enough for that, without a parser.

const decorator = /^[ \t]*@[A-Za-z_$][\w$.]*(?:\(|\s)/m
const relativeImport = /(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g
const mostFiles = 500

/** File and line of the first decorator in a file, or in a file that it imports by a relative path. */
export function findDecorator(entry: string): string | undefined {
  const queue = [entry]
  const seen = new Set(queue)
  for (let at = 0; at < queue.length && at < mostFiles; at += 1) {
    const file = queue[at] ?? entry
    const source = withoutComments(read(file))
    const found = decorator.exec(source)
    if (found) return `${file}:${source.slice(0, found.index).split('\n').length}`
    for (const [, specifier = ''] of source.matchAll(relativeImport)) {
      const next = join(dirname(file), specifier)
      if (!seen.has(next) && existsSync(next)) {
        seen.add(next)
        queue.push(next)
      }
    }
  }
  return undefined
}

/** Whether the file exports a type of that name, which does not exist at run time. */
export function declaresType(file: string, name: string): boolean {
  const escaped = name.replaceAll('$', '\\$')
  const declared = new RegExp(`\\b(?:interface|type|declare\\s+(?:class|const|function))\\s+${escaped}\\b`)
  const listed = new RegExp(`export\\s+type\\s*\\{[^}]*\\b${escaped}\\b`)
  const source = withoutComments(read(file))
  return declared.test(source) || listed.test(source)
}

/** The pattern of `paths` in the nearest tsconfig.json that the import fits. */
export function findAlias(specifier: string, importer: string): string | undefined {
  for (let at = dirname(importer); ; at = dirname(at)) {
    const file = join(at, 'tsconfig.json')
    if (existsSync(file)) {
      const [, paths = ''] = /"paths"\s*:\s*\{([^}]*)\}/.exec(withoutComments(read(file))) ?? []
      const patterns = [...paths.matchAll(/"([^"]+)"\s*:/g)].map(([, pattern = '']) => pattern)
      return patterns.find((pattern) => fits(specifier, pattern))
    }
    if (dirname(at) === at) return undefined
  }
}

/** Node names only the package of a missing import (`@/lib` of `@/lib/thing`), so the beginning must be enough. */
function fits(specifier: string, pattern: string): boolean {
  const [before = '', after] = pattern.split('*')
  return after === undefined ? specifier === before : specifier.startsWith(before) && before !== ''
}

function withoutComments(source: string): string {
  return source
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '))
    .replaceAll(/^\s*\/\/.*$/gm, '')
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
