import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface PackageType {
  /** The package.json that is nearest to the file. */
  readonly manifest: string
  /** What it says: `module`, `commonjs`, or nothing. Then Node looks into each file. */
  readonly type: unknown
}

/** Of a file that need not exist yet. Undefined if there is no package.json up to the root. */
export function packageType(file: string): PackageType | undefined {
  const folder = dirname(file)
  const manifest = join(folder, 'package.json')
  if (!existsSync(manifest)) return folder === file ? undefined : packageType(folder)
  const { type } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly type?: unknown }
  return { manifest, type }
}
