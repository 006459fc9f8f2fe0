import { registerHooks } from 'node:module'
import type { Edit, PlantedBug } from './planted-bug.ts'

const packages = new URL('../../packages/', import.meta.url).href

/**
 * Changes source files while they are loaded: call it before the first of them is loaded. The returned function lists the
 * edits that were not possible, because a text is missing or is there more than once.
 */
export function plant({ edits }: PlantedBug): () => readonly string[] {
  const open = new Set(edits)
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const mine = edits.filter(({ file }) => url === packages + file)
      if (mine.length === 0) return loaded
      const text = loaded.source ?? ''
      let source = typeof text === 'string' ? text : new TextDecoder().decode(text)
      for (const edit of mine) {
        if (source.split(edit.find).length !== 2) continue
        source = source.replace(edit.find, () => edit.replace)
        open.delete(edit)
      }
      return { ...loaded, source }
    },
  })
  return () => [...open].map(({ file, find }: Edit) => `packages/${file} has not exactly one: ${find}`)
}
