import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '@errand/core'
import { ErrandError } from '@errand/core/ports'

const extensions = ['ts', 'mts', 'js', 'mjs'] as const

export interface ProjectOptions {
  readonly config?: string | undefined
  readonly log?: string | undefined
  readonly driver?: string | undefined
}

/** A configuration, and the folder that its paths are relative to. */
export interface Project {
  readonly folder: string
  readonly configFile: string | undefined
  readonly config: Config
}

/**
 * Loads `--config`, or the nearest errand.config.{ts,mts,js,mjs} from this folder upward. `--log` and `--driver`
 * override what it says. A file that was found further up is run in its own folder, as npm does with scripts, so that
 * relative paths mean the same from everywhere.
 * @throws `E_CONFIG` if the file is missing, throws or exports nothing; and if there is no file and no log is named.
 */
export async function loadProject(options: ProjectOptions): Promise<Project> {
  const overrides = {
    ...(options.log === undefined ? {} : { log: options.log }),
    ...(options.driver === undefined ? {} : { driver: options.driver }),
  }
  const configFile = options.config ?? findConfig(process.cwd())
  if (configFile === undefined) {
    if (options.log === undefined && !process.env['ERRAND_LOG']) throw nothingConfigured()
    return { folder: process.cwd(), configFile, config: overrides }
  }
  if (options.config === undefined) process.chdir(dirname(configFile))
  const config = await readConfig(configFile)
  return { folder: dirname(configFile), configFile, config: { ...config, ...overrides } }
}

function findConfig(folder: string): string | undefined {
  const found = findFirst(folder, 'errand.config')
  if (found !== undefined || dirname(folder) === folder) return found
  return findConfig(dirname(folder))
}

/** `NAME.ts`, `.mts`, `.js` or `.mjs` in a folder, in this order. */
export function findFirst(folder: string, name: string): string | undefined {
  return extensions.map((extension) => join(folder, `${name}.${extension}`)).find((file) => existsSync(file))
}

/** The worker's file: the named one, else the one in the configuration, else `worker.ts` beside the configuration. */
export function workerFile(project: Project, named: string | undefined): string {
  if (named !== undefined) return named
  const { worker } = project.config
  if (worker !== undefined) return resolve(project.folder, worker)
  const found = findFirst(project.folder, 'worker')
  if (found !== undefined) return found
  throw new ErrandError(
    'E_CONFIG',
    `which worker? There is no worker.ts in ${project.folder}: name the file (errand work src/worker.ts), or set worker in errand.config.ts`,
  )
}

async function readConfig(file: string): Promise<Config> {
  // What explains a file that cannot be loaded is for those who have one.
  const { loadModule, short } = await import('./load-module.ts')
  const exports = await loadModule(file, 'the configuration')
  const config = await exports['default']
  if (typeof config === 'object' && config !== null) return config
  throw new ErrandError(
    'E_CONFIG',
    `the configuration ${short(file)} exports ${config === undefined ? 'nothing' : `a ${typeof config}`} by default; write \`export default defineConfig({ … })\``,
  )
}

function nothingConfigured(): ErrandError {
  return new ErrandError(
    'E_CONFIG',
    `no errand.config.ts in ${process.cwd()} or above it, and no job log is named; begin with \`errand init\`, or pass --config FILE or --log URL, or set ERRAND_LOG`,
  )
}
