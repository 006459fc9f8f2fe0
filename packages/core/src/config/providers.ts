import { join } from 'node:path'
import { ErrandError } from '../errors.ts'
import { didYouMean } from '../options.ts'
import { listPackages, readManifest, resolveEntry } from './installed.ts'
import { bundledPackage, isBundled, missingPackage } from './packages.ts'
import type { InstalledPackage } from './packages.ts'
import type { Kind } from './scheme.ts'

/** Where packages are looked for. */
export interface Places {
  /** The application's folder. */
  readonly folder: string
  /** Other files to resolve packages from, if the folder does not have them. Default: the main script, and this package. */
  readonly others?: readonly string[] | undefined
}

/** The main script, or this file, may find a package that the application's folder does not have. */
const otherPlaces: readonly string[] = [process.argv[1], import.meta.filename].filter(
  (place) => place !== undefined,
)

/**
 * The installed package that opens URLs of a scheme: the one that is named by it, `@errand/driver-SCHEME` or
 * `errand-driver-SCHEME` (`log` for a log), else one whose package.json declares it: `"errand": { "driver": ["amqp"] }`.
 * It also finds packages that the package `errand` depends on.
 * @throws `E_PACKAGE_MISSING` with the command that adds a package of Errand's own, or in a bundle with what to do, `E_URL` for a scheme that nothing
 * opens, `E_CONFIG` when several packages declare it.
 */
export function findProvider(scheme: string, kind: Kind, places: Places): InstalledPackage {
  const found = lookFor(scheme, kind, places)
  if (found) return found
  if (isBundled()) throw bundledPackage(scheme, kind)
  const published = publishedSchemes(places)
  const add = packageFor(scheme, published[kind])
  if (add !== undefined) throw missingPackage(add, places.folder)
  const known = hint(scheme, Object.keys(published[kind] ?? {}))
  const other = kind === 'log' ? 'driver' : 'log'
  if (packageFor(scheme, published[other]) !== undefined || lookFor(scheme, other, places)) {
    throw new ErrandError('E_URL', `"${scheme}:" is a ${other}, not a ${kind}; ${known}`)
  }
  throw new ErrandError(
    'E_URL',
    `no installed package opens a ${kind} with the scheme "${scheme}:"; ${known}; another package is found if its name is ${nameBy(scheme, kind).join(' or ')}, or if its package.json declares the scheme`,
  )
}

function packageFor(scheme: string, schemes: Readonly<Record<string, string>> = {}): string | undefined {
  return Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
}

function hint(scheme: string, known: readonly string[]): string {
  const shown = known.map((each) => (each === 'database' ? each : `${each}:`))
  return shown.length === 0 ? 'is the package "errand" installed?' : didYouMean(`${scheme}:`, shown)
}

function nameBy(scheme: string, kind: Kind): readonly string[] {
  return [`@errand/${kind}-${scheme}`, `errand-${kind}-${scheme}`]
}

/** By name everywhere first: what a package declares is found by reading the package.json of each dependency. */
function lookFor(scheme: string, kind: Kind, places: Places): InstalledPackage | undefined {
  for (const look of [namedBy, declaring]) {
    for (const place of eachPlace(places)) {
      const found = look(scheme, kind, place)
      if (found) return found
    }
  }
  return undefined
}

function namedBy(scheme: string, kind: Kind, place: string): InstalledPackage | undefined {
  for (const name of nameBy(scheme, kind)) {
    const path = resolveEntry(name, place)
    if (path !== undefined) return { name, path }
  }
  return undefined
}

function declaring(scheme: string, kind: Kind, place: string): InstalledPackage | undefined {
  const names = [...listPackages(place)].filter((name) => {
    const declared = readManifest(name, place)?.errand as Partial<Record<Kind, unknown>> | undefined
    const schemes = declared?.[kind]
    return Array.isArray(schemes) && schemes.includes(scheme)
  })
  if (names.length > 1) {
    throw new ErrandError(
      'E_CONFIG',
      `${names.join(' and ')} all open a ${kind} of the scheme "${scheme}:"; import one of them and pass what its function returns`,
    )
  }
  const [name] = names
  const path = name === undefined ? undefined : resolveEntry(name, place)
  return name === undefined || path === undefined ? undefined : { name, path }
}

/** The application, the `errand` package that it has, and the other places in the same way. */
function* eachPlace({ folder, others = otherPlaces }: Places): Iterable<string> {
  for (const place of [join(folder, 'package.json'), ...others]) {
    yield place
    const errand = resolveEntry('errand/package.json', place)
    if (errand !== undefined) yield errand
  }
}

type Schemes = Readonly<Partial<Record<Kind, Readonly<Record<string, string>>>>>

/** The package of each scheme that Errand itself publishes, as the package `errand` lists them. Errors name the one to add. */
function publishedSchemes({ folder, others = otherPlaces }: Places): Schemes {
  for (const place of [join(folder, 'package.json'), ...others]) {
    const declared = readManifest('errand', place)?.errand as { readonly packages?: Schemes } | undefined
    if (declared?.packages) return declared.packages
  }
  return {}
}
