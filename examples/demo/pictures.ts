import { readdir } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { flaw } from './images.ts'
import { Unusable } from './unusable.ts'

export interface Source {
  /** Unique, fit to be a folder's name. */
  readonly name: string
  readonly file: string
}

export interface Found {
  readonly pictures: readonly Source[]
  /** Files that look like pictures and cannot be read, with the reason. */
  readonly unreadable: readonly { readonly file: string; readonly why: string }[]
  /** Files that were left out, readable or not, because there were enough others. */
  readonly leftOut: number
}

/** What the image library of the demo can read without further help. */
const extensions = new Set(['.jpg', '.jpeg', '.png', '.webp', '.avif', '.gif', '.tif', '.tiff'])
export const enough = 12

/** The first twelve pictures of a folder that can be read to their end. Throws a plain sentence when there is none. */
export async function findPictures(folder: string): Promise<Found> {
  const names = (await list(folder)).filter((name) => extensions.has(extname(name).toLowerCase()))
  if (names.length === 0) {
    throw new Unusable(
      `${folder} has no pictures (${[...extensions].join(' ')}); its subfolders are not searched`,
    )
  }

  const pictures: Source[] = []
  const unreadable: { file: string; why: string }[] = []
  let tried = 0
  for (const name of names) {
    if (pictures.length === enough) break
    tried += 1
    const file = join(folder, name)
    const why = await flaw(file)
    if (why === undefined) pictures.push({ name: unique(name, pictures), file })
    else unreadable.push({ file: name, why })
  }
  if (pictures.length === 0) {
    const [first] = unreadable
    throw new Unusable(
      `none of the ${names.length} pictures in ${folder} can be read: ${first?.file}: ${first?.why}`,
    )
  }
  return { pictures, unreadable, leftOut: names.length - tried }
}

async function list(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink())
    return files.map((entry) => entry.name).toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  } catch (error) {
    throw new Unusable(whyNot(folder, error), { cause: error })
  }
}

function whyNot(folder: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return `there is no folder ${folder}`
  if (code === 'ENOTDIR') return `${folder} is a file; give the folder that it is in`
  if (code === 'EACCES' || code === 'EPERM') return `${folder} may not be read by this user`
  return `${folder} cannot be read: ${String(error)}`
}

function unique(file: string, taken: readonly Source[]): string {
  const stem = basename(file, extname(file)).normalize('NFC')
  const plain =
    stem
      .replaceAll(/[^\p{L}\p{N}_-]+/gu, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, 60) || 'picture'
  const isTaken = (name: string): boolean =>
    taken.some((other) => other.name.toLowerCase() === name.toLowerCase())
  for (let n = 1; ; n += 1) {
    const name = n === 1 ? plain : `${plain}-${n}`
    if (!isTaken(name)) return name
  }
}
