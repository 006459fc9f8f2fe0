import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import sharp from 'sharp'
import type { Sharp } from 'sharp'
import type { Image } from './jobs.ts'

// One thread for one picture: the worker's concurrency says how many are made at a time.
sharp.concurrency(1)
// No cache: a picture is scaled many times, but by different processes, and a file may be written again.
sharp.cache(false)

const encoders = {
  webp: (image: Sharp) => image.webp({ quality: 75 }),
  avif: (image: Sharp) => image.avif({ quality: 50, effort: 3 }),
  jpeg: (image: Sharp) => image.jpeg({ quality: 82, mozjpeg: true }),
}
export type Format = keyof typeof encoders

export interface Scaling {
  readonly source: string
  readonly target: string
  /** Pixels, or a share of the source's width. A picture is never enlarged. */
  readonly width: number | { readonly times: number }
  readonly format: Format
}

export async function scale({ source, target, width, format }: Scaling, signal: AbortSignal): Promise<Image> {
  const pixels = typeof width === 'number' ? width : await measureShare(source, width.times)
  signal.throwIfAborted()
  const upright = sharp(source, { failOn: 'error' }).rotate()
  const scaled = upright.resize({ width: pixels, withoutEnlargement: true })
  const { data, info } = await encoders[format](scaled).toBuffer({ resolveWithObject: true })
  signal.throwIfAborted()
  await write(target, data)
  return { width: info.width, height: info.height, bytes: info.size }
}

async function measureShare(source: string, times: number): Promise<number> {
  const { width, autoOrient } = await sharp(source).metadata()
  return Math.max(1, Math.round((autoOrient.width || width) * times))
}

/** If a run is killed half way, it leaves no half picture. The next run overwrites what it had begun. */
export async function write(target: string, data: string | Uint8Array): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const unfinished = `${target}.part`
  await writeFile(unfinished, data)
  await rename(unfinished, target)
}

/** Why it cannot be shown, or undefined for a picture that can be read to its end. */
export async function flaw(file: string): Promise<string | undefined> {
  try {
    await sharp(file, { failOn: 'error' }).resize(8).toBuffer()
    return undefined
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n').at(0) ?? error.name) : String(error)
  }
}
