// Writes the JavaScript of each package to `dist`, as few files: most of what a short command does is to find and link modules.
import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { rolldown, type InputOptions, type OutputOptions } from 'rolldown'
import { listPackages, root } from './workspace.ts'

const input: InputOptions = {
  platform: 'node',
  // Other packages stay packages. All programs of an installation share them.
  external: /^[^./]/,
  onLog: (_level, log) => {
    throw new Error(log.message)
  },
}

const output: OutputOptions = {
  format: 'esm',
  sourcemap: true,
  entryFileNames: '[name].js',
  chunkFileNames: '[name].js',
}

for (const { folder, mains } of listPackages()) {
  const dist = join(root, folder, 'dist')
  const written = await bundle(join(root, folder), dist, mains)
  for (const thread of findThreads(join(root, folder, 'src'))) {
    const file = `${basename(thread, '.ts')}.js`
    if (written.has(file)) throw new Error(`${folder}: two files would be ${file}; name the thread otherwise`)
    await bundleThread(thread, join(dist, file))
  }
}

/** A file for each main, one for what most programs load, and files for what is loaded late. Answers their names. */
async function bundle(folder: string, dir: string, mains: readonly string[]): Promise<ReadonlySet<string>> {
  const files = mains.map((file) => [basename(file, '.ts'), join(folder, file)])
  const bundled = await rolldown({ ...input, input: Object.fromEntries(files) as Record<string, string> })
  // Otherwise each set of mains that have a module in common has a file of its own.
  const shared = { name: 'shared', test: /[\\/]src[\\/](?:index|ports)\.ts$/ }
  const codeSplitting = mains.length > 1 ? { groups: [shared] } : true
  const written = await bundled.write({ ...output, dir, codeSplitting })
  await bundled.close()
  return new Set(written.output.map(({ fileName }) => fileName))
}

/** Modules that the source starts as threads. No import leads to them. */
function findThreads(src: string): readonly string[] {
  return globSync('**/*.ts', { cwd: src }).flatMap((file) => {
    const text = readFileSync(join(src, file), 'utf8')
    return [...text.matchAll(/threadModule\('([\w-]+)', import\.meta\.url\)/g)].map(([, name]) =>
      join(src, dirname(file), `${name}.ts`),
    )
  })
}

/** One file with all that the thread needs, so that it does not run what the main thread shares. */
async function bundleThread(thread: string, file: string): Promise<void> {
  const bundled = await rolldown({ ...input, input: thread })
  await bundled.write({ ...output, file, codeSplitting: false })
  await bundled.close()
}
