import { createReadStream, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** Writes a file of so many rows: an id, a name and an amount. Those of `bad` have an amount that is no number. */
export function writeRows(file: string, count: number, bad: readonly number[]): void {
  const rows = Array.from(
    { length: count },
    (_, id) => `${id},customer ${id},${bad.includes(id) ? '?' : 100 + (id % 900)}`,
  )
  writeFileSync(file, `${rows.join('\n')}\n`)
}

/** The rows of a file, so many at a time. */
export async function* chunksOf(file: string, size: number): AsyncIterable<string[]> {
  let chunk: string[] = []
  for await (const row of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    chunk.push(row)
    if (chunk.length < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
