// An application that a bundler has put into one file, which then runs where nothing is installed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { checkOutput } from '@errand/testkit'
import { build } from 'esbuild'
import { rolldown } from 'rolldown'
import { describe, expect, onTestFinished, test } from 'vitest'

type App = 'by-url' | 'dispatch' | 'worker'
type Bundle = (entry: string, file: string, external: readonly string[]) => Promise<unknown>

/** What esbuild's users add, so that packages of CommonJS find Node's own modules. */
const banner = `import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);`

function byEsbuild(format: 'esm' | 'cjs'): Bundle {
  return (entry, outfile, external) =>
    build({
      entryPoints: [entry],
      outfile,
      external: [...external],
      format,
      bundle: true,
      platform: 'node',
      logLevel: 'error',
      // It warns that a bundle of CommonJS has no import.meta.
      logOverride: { 'empty-import-meta': 'silent' },
      ...(format === 'esm' ? { banner: { js: banner } } : {}),
    })
}

const byRolldown: Bundle = async (input, file, external) => {
  const patterns = external.map((name) => new RegExp(`^${name.replace('*', '.*')}$`))
  const bundle = await rolldown({ input, external: patterns, platform: 'node', logLevel: 'silent' })
  await bundle.write({ file, format: 'esm', codeSplitting: false })
  await bundle.close()
}

const bundles: readonly (readonly [what: string, bundle: Bundle, extension: string])[] = [
  ['esbuild, as a module', byEsbuild('esm'), 'mjs'],
  ['esbuild, as CommonJS', byEsbuild('cjs'), 'cjs'],
  ['rolldown, as a module', byRolldown, 'mjs'],
]

describe.each(bundles)('a bundle by %s', (_what, bundle, extension) => {
  /** Bundles an application, and answers what it printed. `external`: what is installed where it runs, instead. */
  async function run(app: App, external: readonly string[] = []): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'errand-bundle-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, `app.${extension}`)
    await bundle(join(import.meta.dirname, 'app', `${app}.ts`), file, external)
    if (external.length > 0)
      symlinkSync(join(import.meta.dirname, '..', 'node_modules'), join(folder, 'node_modules'))
    // Without NODE_PATH, by which a package manager would make its own packages visible.
    const { PATH, NODE_OPTIONS } = process.env
    const child = spawn(process.execPath, [file, join(folder, 'errand.db')], {
      cwd: folder,
      env: { PATH, NODE_OPTIONS, ERRAND_LOG_LEVEL: 'warn' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    checkOutput(child)
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    return `${out}${err}`.trim()
  }

  /** The packages that an error says must be installed beside the bundle. */
  const advised = (said: string): readonly string[] =>
    [...said.matchAll(/--external:([^\s)]+)/g)].map(([, name]) => name ?? '')

  test('cannot load a log by its URL: the error names the ways out, and both are right', async () => {
    const said = await run('by-url')
    expect(said).toContain(
      'E_PACKAGE_MISSING: a bundle cannot load the package of the log "sqlite:" by its URL',
    )
    expect(said).toContain('A process without a worker may import the packages of log and driver instead')
    expect(await run('dispatch')).toBe('added')
    expect(await run('by-url', advised(said))).toBe('added')
  })

  test('has no heartbeat thread for a worker: the error says what to do, and that is right', async () => {
    const said = await run('worker')
    expect(said).toContain('E_CONFIG: the worker cannot start')
    expect(advised(said)).not.toEqual([])
    expect(await run('worker', advised(said))).toBe('ran')
  })
})
