import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { sceneOn } from '../../fleet/scene.ts'
import type { Scene, SceneOptions } from '../../fleet/scene.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { withParameters } from '../../fleet/urls.ts'
import { newName, withEnd } from './common.ts'

/** The URL of another, empty log beside the log of the place. */
export function freshLog({ place }: Fleet): string {
  const url = place.kind.log.toUrl(place.server?.url, newName('fresh').replace('-', '_'), place.folder)
  return place.server === undefined ? url : withParameters(url, { migrate: 'true', poolSize: '2' })
}

/** Runs the act on a log that nobody else uses, with its own ledger. */
export async function onFreshLog(
  fleet: Fleet,
  options: Omit<SceneOptions, 'finally'>,
  act: (on: Scene) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(fleet.place.folder, 'fresh-'))
  await withEnd(async (atTheEnd) =>
    act(await sceneOn(freshLog(fleet), folder, { ...options, finally: atTheEnd })),
  )
}
