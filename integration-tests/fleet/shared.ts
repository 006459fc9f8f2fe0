// What tests have on the servers that all tests of a run share.
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { inject, onTestFinished } from 'vitest'
import { sceneOn } from './scene.ts'
import type { Finally, Scene, SceneOptions } from './scene.ts'

/** The logs that this run can reach, by name. */
export const logs: readonly string[] = ['sqlite', ...(inject('postgres') === undefined ? [] : ['postgres'])]

export async function scene(name: string, options: SceneOptions = {}): Promise<Scene> {
  const { finally: atTheEnd = onTestFinished } = options
  const folder = mkdtempSync(join(tmpdir(), 'errand-fleet-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  const url = name === 'sqlite' ? `sqlite:${join(folder, 'errand.db')}` : await schemaOfItsOwn(atTheEnd)
  return sceneOn(url, folder, options)
}

/** The URL of a log in a schema that only the test uses. */
export async function schemaOfItsOwn(atTheEnd: Finally): Promise<string> {
  const url = new URL(inject('postgres') ?? '')
  const schema = `fleet_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  atTheEnd(async () => {
    const client = new Client(inject('postgres'))
    await client.connect()
    await client.query(`drop schema if exists ${schema} cascade`)
    await client.end()
  })
  url.searchParams.set('schema', schema)
  // Many processes share a server that may have a hundred connections for all tests.
  url.searchParams.set('poolSize', '4')
  return url.href
}
