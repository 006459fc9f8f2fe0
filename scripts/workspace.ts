import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root: string = join(import.meta.dirname, '..')

/** A package of `packages/`, as its own files describe it. */
export interface WorkspacePackage {
  readonly name: string
  /** From the root: `packages/core`. */
  readonly folder: string
  /** What its source may import beside `node:` and its own files: dependencies and peers of its package.json. */
  readonly imports: readonly string[]
  /** What can be imported of it: `.`, `./ports` … */
  readonly entries: readonly string[]
  /** Its sources that users import or start, from its folder: `src/index.ts`. */
  readonly mains: readonly string[]
  /** The schemes of URLs that it opens. */
  readonly opens: { readonly log?: readonly string[]; readonly driver?: readonly string[] }
}

interface Manifest {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  readonly errand?: WorkspacePackage['opens']
}

/** All packages that are published, in the order of their folders. */
export function listPackages(): readonly WorkspacePackage[] {
  return globSync('packages/*/package.json', { cwd: root })
    .toSorted()
    .map((file) => {
      const folder = file.slice(0, -'/package.json'.length)
      const manifest = JSON.parse(readFileSync(join(root, file), 'utf8')) as Manifest
      return {
        name: manifest.name,
        folder,
        imports: Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }).toSorted(),
        entries: Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json')),
        mains: [...new Set(Object.values({ ...manifest.exports, ...manifest.bin }))]
          .filter((file) => file.endsWith('.ts'))
          .map((file) => file.slice('./'.length)),
        opens: manifest.errand ?? {},
      }
    })
}
