import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { sceneOn } from '../../fleet/scene.ts'
import type { Scene, SceneOptions } from '../../fleet/scene.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { newName, present } from './common.ts'

/** The URL of a log beside that of the place, where nothing is yet. */
export function freshLog({ place }: Fleet): string {
  if (place.log.startsWith('sqlite:')) return `sqlite:${join(place.folder, `${newName('fresh')}.db`)}`
  const url = new URL(present(place.postgres).url)
  url.searchParams.set('schema', `fresh_${randomBytes(4).toString('hex')}`)
  url.searchParams.set('migrate', 'true')
  url.searchParams.set('poolSize', '2')
  return url.href
}

/** A log with nobody else on it, and a ledger of its own. */
export async function onFreshLog(
  fleet: Fleet,
  options: Omit<SceneOptions, 'finally'>,
  act: (on: Scene) => Promise<void>,
): Promise<void> {
  const acts: (() => void | Promise<void>)[] = []
  const folder = mkdtempSync(join(fleet.place.folder, 'fresh-'))
  try {
    await act(await sceneOn(freshLog(fleet), folder, { ...options, finally: (each) => void acts.push(each) }))
  } finally {
    for (const each of acts.toReversed()) await each()
  }
}
