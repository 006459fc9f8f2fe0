import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, parse } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ErrandError } from '../errors.ts'

/** Where a package is looked for when the application's folder does not have it: by its main script, and from here. */
const otherPlaces: readonly string[] = [process.argv[1], import.meta.filename].filter(
  (place) => place !== undefined,
)

/**
 * Imports a package as the application would: resolved from its folder, or from where its `errand` package stands
 * (which brings the common ones along); else in the same way from the other places.
 * @throws `E_PACKAGE_MISSING` with the command that adds it, `E_CONFIG` when it is there and cannot be loaded.
 */
export async function importPackage(
  name: string,
  folder: string,
  others: readonly string[] = otherPlaces,
): Promise<Readonly<Record<string, unknown>>> {
  const path = resolveFrom(name, folder, others)
  if (path === undefined) {
    throw new ErrandError(
      'E_PACKAGE_MISSING',
      isBundled()
        ? `${name} is loaded by its URL, which a bundle cannot do; import it and pass what its function returns (such as log: postgres({ url })), or mark the packages of Errand as external`
        : `${name} is not installed in ${folder}; add it with: ${addCommand(name, folder)}`,
    )
  }
  try {
    return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new ErrandError('E_CONFIG', `${name} is installed and cannot be loaded: ${String(error)}`, {
      cause: error,
    })
  }
}

/** This file is a package's where it was installed, and part of the application's own where a bundler has put it there. */
export function isBundled(file: string = import.meta.filename): boolean {
  return !/[\\/]config[\\/]packages\.[jt]s$/.test(file)
}

function resolveFrom(name: string, folder: string, others: readonly string[]): string | undefined {
  for (const place of [join(folder, 'package.json'), ...others]) {
    const errand = resolve('errand/package.json', place)
    const path = resolve(name, place) ?? (errand === undefined ? undefined : resolve(name, errand))
    if (path !== undefined) return path
  }
  return undefined
}

function resolve(name: string, from: string): string | undefined {
  try {
    return createRequire(from).resolve(name)
  } catch {
    return undefined
  }
}

const lockfiles: readonly (readonly [file: string, manager: string])[] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
]

/** The application's package manager: by the nearest lockfile, else by who started this process, else npm. */
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
