import { join } from 'node:path'
import type { JobRequest, Lane } from 'errand'
import { formats, halve, resize } from './jobs.ts'
import type { Image } from './jobs.ts'
import type { Source } from './pictures.ts'

/** A job that the demo dispatches, with its name for people and what is needed to check it. */
export interface Planned {
  readonly request: JobRequest<Image>
  /** For people: `nuthatch 640 avif`. */
  readonly label: string
  readonly lane: Lane
  readonly key: string | undefined
  /** What it makes, relative to the contact sheet. */
  readonly file: string
  readonly picture: string
  readonly format: string
}

/** A page shows small pictures first, so they are made first. */
const widths: readonly { readonly width: number; readonly lane: Lane }[] = [
  { width: 96, lane: 'high' },
  { width: 160, lane: 'high' },
  { width: 240, lane: 'normal' },
  { width: 320, lane: 'normal' },
  { width: 400, lane: 'normal' },
  { width: 480, lane: 'normal' },
  { width: 640, lane: 'low' },
  { width: 800, lane: 'low' },
]
const halvings = 4

/** Twenty jobs for each picture: eight widths in two formats, and a row of four, each made from the one before it. */
export function plan(pictures: readonly Source[], out: string): Planned[] {
  const rows = Array.from({ length: halvings }, (_, step) =>
    pictures.map((picture) => halving(picture, step, out)),
  )
  const sizes = widths.map(({ width, lane }) =>
    pictures.flatMap((picture) => formats.map((format) => resizing(picture, { width, format, lane }, out))),
  )
  // Rows among sizes, so that jobs with a key and jobs without one run side by side.
  return sizes.flatMap((size, index) => [...(rows[index - 1] ?? []), ...size])
}

/** The job that comes late and must not wait. */
export function cover(picture: Source, out: string, id: string): Planned {
  return {
    ...resizing(picture, { width: 1200, format: 'webp', lane: 'critical', id }, out),
    label: `the cover (${picture.name})`,
  }
}

interface Size {
  readonly width: number
  readonly format: (typeof formats)[number]
  readonly lane: Lane
  readonly id?: string
}

function resizing(picture: Source, { width, format, ...options }: Size, out: string): Planned {
  const file = `${picture.name}/${width}.${format}`
  const payload = { source: picture.file, target: join(out, file), width, format }
  return {
    request: resize.with(payload, options),
    label: `${picture.name} ${width} ${format}`,
    lane: options.lane,
    key: undefined,
    file,
    picture: picture.name,
    format,
  }
}

function halving(picture: Source, step: number, out: string): Planned {
  const file = `${picture.name}/half-${step + 1}.jpeg`
  const source = step === 0 ? picture.file : join(out, `${picture.name}/half-${step}.jpeg`)
  return {
    request: halve.with({ row: picture.name, source, target: join(out, file) }),
    label: `${picture.name} half ${step + 1}`,
    lane: 'normal',
    key: picture.name,
    file,
    picture: picture.name,
    format: 'jpeg',
  }
}
