import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { aligned } from '../report/table.ts'

/** The parts of V8's CPU profile that are read here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const top = 25

/** The functions in which the profiles of a folder spent their own time, most first; idle time and the sampling itself left out. */
export function topFunctions(folder: string): string {
  const selfMs = new Map<string, number>()
  for (const file of globSync('*.cpuprofile', { cwd: folder })) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile
    const names = new Map(nodes.map(({ id, callFrame }) => [id, nameFrame(callFrame)]))
    for (const [at, id] of samples.entries()) {
      const name = names.get(id) ?? '?'
      if (name === '(idle)' || name === '(root)' || name.includes('node:inspector')) continue
      selfMs.set(name, (selfMs.get(name) ?? 0) + (timeDeltas[at] ?? 0) / 1_000)
    }
  }
  const total = [...selfMs.values()].reduce((sum, ms) => sum + ms, 0)
  const lines = [...selfMs].toSorted(([, a], [, b]) => b - a).slice(0, top)
  return aligned([
    ['self time', 'ms', '%'],
    ...lines.map(([name, ms]) => [name, ms.toFixed(1), ((100 * ms) / total).toFixed(1)]),
  ])
}

function nameFrame({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName || '(anonymous)'
  const place = url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/packages\//, '')
  return place === '' ? name : `${name}  ${place.split('/').slice(-4).join('/')}:${lineNumber + 1}`
}
