import type { Picture, Rendition } from './jobs.ts'

export interface Sheet {
  readonly pictures: readonly Picture[]
  /** The name of a file beside the page, if the pictures have one. */
  readonly credits?: string | undefined
}

/** One page without scripts that shows every picture in all its widths and formats. */
export function contactSheet({ pictures, credits }: Sheet): string {
  const made = pictures.flatMap(({ renditions }) => renditions)
  const sum = made.reduce((bytes, rendition) => bytes + rendition.bytes, 0)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contact sheet</title>
<style>${style}</style>
<header style="background-image: url('${link(widest(pictures))}')">
  <div>
    <h1>Contact sheet</h1>
    <p>${pictures.length} pictures · ${made.length} thumbnails · ${size(sum)}</p>
  </div>
</header>
<main>
${pictures.map(figure).join('\n')}
</main>
<footer>
  Made by three Errand workers, one of which was killed at its work.
  ${credits === undefined ? '' : `Photographers and licences: <a href="${link(credits)}">${text(credits)}</a>.`}
</footer>
</html>
`
}

/** The cover: one picture was made wider than all the others. */
function widest(pictures: readonly Picture[]): string {
  const made = pictures.flatMap(({ renditions }) => renditions).toSorted((a, b) => b.width - a.width)
  return made.at(0)?.file ?? ''
}

function figure({ name, renditions }: Picture): string {
  const avif = sourceSet(renditions, 'avif')
  const webp = sourceSet(renditions, 'webp')
  const plain = renditions.findLast(({ format }) => format === 'webp') ?? renditions.at(0)
  if (!plain) return ''
  const sizes = 'sizes="(max-width: 700px) 100vw, 420px"'
  return `<figure>
  <picture>
    <source type="image/avif" srcset="${avif}" ${sizes}>
    <source type="image/webp" srcset="${webp}" ${sizes}>
    <img src="${link(plain.file)}" width="${plain.width}" height="${plain.height}" alt="${text(name)}" loading="lazy">
  </picture>
  <figcaption>
    <h2>${text(name)}</h2>
    <ul>${['webp', 'avif', 'jpeg'].map((format) => row(renditions, format)).join('')}</ul>
  </figcaption>
</figure>`
}

function row(renditions: readonly Rendition[], format: string): string {
  const links = ofFormat(renditions, format).map(
    ({ file, width, height, bytes }) =>
      `<a href="${link(file)}" title="${width} × ${height}, ${size(bytes)}">${width}</a>`,
  )
  return links.length > 0 ? `<li><b>${format}</b> ${links.join(' ')}</li>` : ''
}

/** A small picture is not enlarged, so several files may have the same width. Only the first of them is listed. */
function sourceSet(renditions: readonly Rendition[], format: string): string {
  const byWidth = new Map<number, string>()
  for (const { file, width } of ofFormat(renditions, format))
    if (!byWidth.has(width)) byWidth.set(width, file)
  return [...byWidth].map(([width, file]) => `${link(file)} ${width}w`).join(', ')
}

function ofFormat(renditions: readonly Rendition[], format: string): Rendition[] {
  return renditions.filter((rendition) => rendition.format === format).toSorted((a, b) => a.width - b.width)
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}

function link(file: string): string {
  return file
    .split('/')
    .map((part) => encodeURIComponent(part).replaceAll("'", '%27'))
    .join('/')
}

function text(value: string): string {
  return value.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

const style = `
  :root { color-scheme: dark; font: 15px/1.5 system-ui, sans-serif; background: #121314; color: #e8e6e3 }
  body { margin: 0 }
  header { min-height: min(46vh, 30rem); display: grid; align-items: end; background: #222 center 40% / cover }
  header div { padding: 5rem clamp(1rem, 4vw, 4rem) 1.5rem; background: linear-gradient(transparent, #121314) }
  h1 { margin: 0; font-size: clamp(2rem, 6vw, 4rem); font-weight: 650; letter-spacing: -.02em }
  p { margin: 0; opacity: .8 }
  main { padding: 1.5rem clamp(1rem, 4vw, 4rem); columns: 340px; column-gap: 1.5rem }
  figure { margin: 0 0 1.5rem; break-inside: avoid; background: #1c1d1f; border-radius: 10px; overflow: hidden }
  img { display: block; width: 100%; height: auto }
  figcaption { padding: .8rem 1rem 1rem }
  h2 { margin: 0 0 .3rem; font-size: 1rem; font-weight: 600; overflow-wrap: anywhere }
  ul { margin: 0; padding: 0; list-style: none; font-size: .8rem; font-variant-numeric: tabular-nums }
  b { display: inline-block; width: 2.8rem; font-weight: 400; opacity: .55 }
  a { color: #9ecbff; text-decoration: none; margin-right: .25rem }
  a:hover { text-decoration: underline }
  footer { padding: 0 clamp(1rem, 4vw, 4rem) 3rem; font-size: .85rem; opacity: .7 }
`
