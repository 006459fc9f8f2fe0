import { existsSync } from 'node:fs'
import { dirname, join, parse, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ErrandError } from '../errors.ts'
import { resolveEntry } from './installed.ts'

/** A package that was found, and the file that an import of it loads. */
export interface InstalledPackage {
  readonly name: string
  readonly path: string
}

/** @throws `E_CONFIG` when it cannot be loaded. */
export async function importPackage({
  name,
  path,
}: InstalledPackage): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new ErrandError('E_CONFIG', `${name} is installed but cannot be loaded: ${String(error)}`, {
      cause: error,
    })
  }
}

/** `E_PACKAGE_MISSING` with the command that adds the package to the application in this folder. */
export function missingPackage(name: string, folder: string): ErrandError {
  return new ErrandError(
    'E_PACKAGE_MISSING',
    `${name} is not installed in ${folder}; add it with: ${addCommand(name, folder)}`,
  )
}

/** `E_PACKAGE_MISSING` if the packages of Errand are part of a bundle: a bundle finds no package by the scheme of a URL. */
export function bundledPackage(scheme: string, kind: string): ErrandError {
  return new ErrandError(
    'E_PACKAGE_MISSING',
    `a bundle cannot load the package of the ${kind} "${scheme}:" by its URL; mark the packages of Errand as external (esbuild: --external:errand --external:@errand/*). A process without a worker may import the packages of log and driver instead, and pass what their functions return: createErrand({ log: postgres({ url }), driver: database() })`,
  )
}

/**
 * Whether a bundler has put this module into the application's own file. Such a file is outside the package, or in CommonJS
 * has no name.
 */
export function isBundled(file: string | undefined = import.meta.filename): boolean {
  if (file === undefined) return true
  const manifest = resolveEntry('@errand/core/package.json', file)
  return manifest === undefined || !file.startsWith(`${dirname(manifest)}${sep}`)
}

const lockfiles: readonly (readonly [file: string, manager: string])[] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
]

/** The application's package manager: by the nearest lockfile, else by the one that started this process, else npm. */
export function addCommand(name: string, folder: string, env: NodeJS.ProcessEnv = process.env): string {
  const byAgent = /^(pnpm|yarn|bun|npm)\//.exec(env['npm_config_user_agent'] ?? '')?.[1]
  const manager = byLockfile(folder) ?? byAgent ?? 'npm'
  return manager === 'npm' ? `npm install ${name}` : `${manager} add ${name}`
}

function byLockfile(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const found = lockfiles.find(([file]) => existsSync(join(at, file)))
    if (found) return found[1]
    if (at === parse(at).root) return undefined
  }
}
