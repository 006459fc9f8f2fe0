import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, parse } from 'node:path'

/** The parts of a package.json that are read here. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly errand?: unknown
}

/** The entry of a package, as a file in this place would import it. */
export function resolveEntry(name: string, place: string): string | undefined {
  try {
    return createRequire(place).resolve(name)
  } catch {
    return undefined
  }
}

/** The package.json of a package, resolved from this place; undefined for a package that does not export it. */
export function readManifest(name: string, place: string): Manifest | undefined {
  const file = resolveEntry(`${name}/package.json`, place)
  return file === undefined ? undefined : readJson(file)
}

/**
 * The packages that this place may import: those that each package.json from here to the root names, and those in
 * `node_modules` with "errand" in their name, for an application that was deployed without its package.json.
 */
export function listPackages(place: string): ReadonlySet<string> {
  const names = new Set<string>()
  for (let at = dirname(place); ; at = dirname(at)) {
    const { dependencies, devDependencies, optionalDependencies, peerDependencies } =
      readJson(join(at, 'package.json')) ?? {}
    const named = { ...dependencies, ...optionalDependencies, ...peerDependencies, ...devDependencies }
    for (const name of Object.keys(named)) names.add(name)
    for (const name of listFolder(join(at, 'node_modules'))) names.add(name)
    if (at === parse(at).root) return names
  }
}

function listFolder(modules: string): readonly string[] {
  const folders = readFolder(modules)
  const scoped = folders
    .filter((name) => name.startsWith('@'))
    .flatMap((scope) => readFolder(join(modules, scope)).map((name) => `${scope}/${name}`))
  return [...folders, ...scoped].filter((name) => name.includes('errand'))
}

function readFolder(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readJson(file: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest
  } catch {
    return undefined
  }
}
