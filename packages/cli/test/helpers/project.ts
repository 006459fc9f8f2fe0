import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { start } from './command.ts'
import type { CommandOptions, Ran, Running } from './command.ts'

export interface ProjectOptions {
  /** Files by their path in the project. */
  readonly files?: Readonly<Record<string, string>>
  /** `"type"` of package.json. Default `module`; `none` leaves it out. */
  readonly type?: 'module' | 'commonjs' | 'none'
  /** Whether tsx is installed. Default false. */
  readonly tsx?: boolean
  /** Whether zod is installed. Default true. */
  readonly zod?: boolean
}

/** An application in a folder of its own, outside the workspace, with what `npm install errand zod` would bring. */
export interface Project {
  readonly folder: string
  /** Runs the command to its end. */
  command(...words: readonly string[]): Promise<Ran>
  /** With an environment, a folder inside the project, or stdin. */
  run(words: readonly string[], options?: Partial<CommandOptions>): Promise<Ran>
  /** Starts one that goes on; it is killed when the test ends. */
  start(words: readonly string[], options?: Partial<CommandOptions>): Running
  /** The JSON document that a command prints with --json; fails when the command does. */
  json<T>(...words: readonly string[]): Promise<T>
  write(name: string, text: string): void
  read(name: string): string
}

export function makeProject(options: ProjectOptions = {}): Project {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'errand-cli-')))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))

  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const type = options.type === 'none' ? {} : { type: options.type ?? 'module' }
  write('package.json', JSON.stringify({ private: true, ...type }))
  install(folder, 'errand', fileURLToPath(new URL('../../../errand', import.meta.url)))
  install(folder, '@errand/log-postgres', toFolder(import.meta.resolve('@errand/log-postgres/package.json')))
  if (options.zod !== false) install(folder, 'zod', toFolder(import.meta.resolve('zod/package.json')))
  if (options.tsx) install(folder, 'tsx', toFolder(import.meta.resolve('tsx/package.json')))
  for (const [name, text] of Object.entries(options.files ?? {})) write(name, text)

  const startHere = (words: readonly string[], more: Partial<CommandOptions> = {}): Running => {
    const running = start(words, { cwd: folder, ...more })
    onTestFinished(async () => {
      running.kill()
      await running.ended
    })
    return running
  }
  const run = (words: readonly string[], more?: Partial<CommandOptions>): Promise<Ran> =>
    startHere(words, more).ended
  return {
    folder,
    write,
    read: (name) => readFileSync(join(folder, name), 'utf8'),
    start: startHere,
    run,
    command: (...words) => run(words),
    async json<T>(...words: readonly string[]) {
      const ran = await run([...words, '--json'])
      if (ran.code !== 0) throw new Error(`errand ${words.join(' ')} ended with ${ran.code}: ${ran.stderr}`)
      return JSON.parse(ran.stdout) as T
    },
  }
}

function install(folder: string, name: string, from: string): void {
  const at = join(folder, 'node_modules', name)
  mkdirSync(dirname(at), { recursive: true })
  symlinkSync(realpathSync(from), at)
}

function toFolder(manifest: string): string {
  return dirname(fileURLToPath(manifest))
}
