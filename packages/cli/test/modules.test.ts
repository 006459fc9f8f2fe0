import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'

const bin = fileURLToPath(new URL('../src/bin.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'errand-modules-'))
const log = `sqlite:${join(folder, 'errand.db')}`
afterAll(() => rmSync(folder, { recursive: true }))

interface Loaded {
  /** URLs of files. Short commands spend most of their time on them. */
  readonly files: readonly string[]
  /** Node's own modules that are not loaded at its start. */
  readonly own: readonly string[]
}

/** What a command loads. */
function loadedBy(...words: readonly string[]): Loaded {
  const watch = `import { registerHooks } from 'node:module'
    const files = []
    registerHooks({ load: (url, context, next) => (url.startsWith('file:') && files.push(url), next(url, context)) })
    const own = () => process.moduleLoadList.flatMap((each) => /^NativeModule (\\w+)$/.exec(each)?.[1] ?? [])
    process.on('exit', () => process.stderr.write(JSON.stringify({ files, own: own() }) + '\\n'))`
  const import_ = `data:text/javascript,${encodeURIComponent(watch)}`
  const shell = `"$0" --import "$1" "$2" ${words.join(' ')} 2>&1 >/dev/null | tail -n 1`
  const out = execFileSync('sh', ['-c', shell, process.execPath, import_, bin], {
    encoding: 'utf8',
    cwd: folder,
  })
  return JSON.parse(out) as Loaded
}

const matches = ({ files }: Loaded, pattern: RegExp): readonly string[] =>
  files.flatMap((url) => pattern.exec(url)?.[1] ?? [])

beforeAll(() => {
  loadedBy('dispatch', 'a-job', "'{}'", '--unchecked', '--log', log)
})

it('a command loads no other command, nor another of its group', () => {
  const loaded = loadedBy('jobs', 'list', '--help')
  expect(new Set(matches(loaded, /cli\/src\/commands\/([a-z-]+)/))).toEqual(new Set(['jobs']))
  expect(matches(loaded, /cli\/src\/commands\/jobs\/([a-z-]+)/)).toEqual(['list', 'columns'])
})

it('the version is told without any command', () => {
  expect(matches(loadedBy('--version'), /cli\/src\/commands\/([a-z-]+)/)).toEqual([])
})

it('a list loads no driver, no logger, no worker and no cryptography', () => {
  const loaded = loadedBy('jobs', 'list', '--log', log)
  expect(new Set(matches(loaded, /packages\/(driver-[a-z]+|log-[a-z]+)\//))).toEqual(new Set(['log-sqlite']))
  expect(matches(loaded, /(node_modules\/pino|core\/src\/(?:worker|driver-kit))\//)).toEqual([])
  expect(loaded.own).toContain('sqlite')
  expect(loaded.own).not.toContain('crypto')
  expect(loaded.files.length).toBeLessThan(240)
})

it('on an asynchronous log it loads no rules of the engine', () => {
  const files = matches(
    loadedBy('jobs', 'list', '--log', 'postgres://127.0.0.1:1/none'),
    /core\/src\/(engine)\/(?!damaged-row|topic-bus)/,
  )
  expect(files).toEqual([])
})
