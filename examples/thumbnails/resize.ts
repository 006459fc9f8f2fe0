import { mkdir, rename } from 'node:fs/promises'
import { basename, join, parse } from 'node:path'
import sharp from 'sharp'

const folder = process.env['THUMBNAILS'] ?? 'thumbnails'

/** Idempotent, as a handler should be: run twice, it writes the same file twice, and never half of one. */
export async function resize(file: string, width: number, signal: AbortSignal): Promise<string> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${parse(basename(file)).name}-${width}.webp`)
  const unfinished = `${path}.${process.pid}.part`
  await sharp(file).rotate().resize({ width, withoutEnlargement: true }).webp().toFile(unfinished)
  signal.throwIfAborted()
  await rename(unfinished, path)
  return path
}
