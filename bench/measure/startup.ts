import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { getUrl } from '../servers/server.ts'
import { readEndedSeconds } from './process-cpu.ts'
import type { Round, Scene, Variant } from './scene.ts'

const run = promisify(execFile)
const times = 7

interface Manifest {
  readonly name: string
  readonly publishConfig?: object
  readonly dependencies?: Readonly<Record<string, string>>
}

/** CPU of `errand jobs list`, installed as users have it, as a multiple of `node -e 0`. Both run in turns. */
export async function startupRatio({ root, entry }: Variant, scene: Scene, round: Round): Promise<number> {
  const bin = await install(root, join(round.folder, `installed-${scene.space}`))
  const { place } = scene.task('idle', 0)
  const url = entry.needs.includes('postgres')
    ? `${getUrl(place.urls, 'postgres')}?schema=${scene.space}`
    : `sqlite:${join(place.folder, `${scene.space}.db`)}`
  const used = { list: 0, nothing: 0 }
  const env = { ...process.env, NO_COLOR: '1', NODE_COMPILE_CACHE: undefined }
  const spend = async (what: keyof typeof used, given: readonly string[]): Promise<void> => {
    const from = readEndedSeconds(process.pid)
    await run(process.execPath, given, { env })
    used[what] += readEndedSeconds(process.pid) - from
  }
  for (let time = 0; time < times; time++) {
    await spend('list', [bin, 'jobs', 'list', '--log', url])
    await spend('nothing', ['-e', '0'])
  }
  return used.list / used.nothing
}

/** Links packages in their published form, as an installer does: their JavaScript, and the exports that a user sees. */
async function install(root: string, folder: string): Promise<string> {
  const compiler = ['@typescript/native-preview', 'typescript']
    .map((name) => join(root, 'node_modules', name, 'bin', 'tsc'))
    .find((path) => existsSync(path))
  if (compiler === undefined) throw new Error(`there is no compiler in ${root}/node_modules`)
  const projects = globSync('packages/*/tsconfig.json', { cwd: root }).filter(
    (path) => !path.includes('testkit'),
  )
  await run(process.execPath, [compiler, '-b', ...projects], { cwd: root })
  // Older versions published what the compiler writes.
  const bundle = join(root, 'scripts', 'bundle.ts')
  if (existsSync(bundle)) await run(process.execPath, [bundle], { cwd: root })
  const modules = join(folder, 'node_modules')
  for (const project of projects) {
    const from = join(root, dirname(project))
    const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as Manifest
    const to = join(modules, manifest.name)
    mkdirSync(to, { recursive: true })
    cpSync(join(from, 'dist'), join(to, 'dist'), { recursive: true })
    writeFileSync(join(to, 'package.json'), JSON.stringify({ ...manifest, ...manifest.publishConfig }))
    for (const name of Object.keys(manifest.dependencies ?? {}).filter((each) => !/errand/.test(each))) {
      if (existsSync(join(modules, name))) continue
      mkdirSync(dirname(join(modules, name)), { recursive: true })
      symlinkSync(realpathSync(join(from, 'node_modules', name)), join(modules, name))
    }
  }
  return join(modules, 'errand', 'dist', 'bin.js')
}
