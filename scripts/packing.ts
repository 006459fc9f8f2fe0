import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

export interface Packed {
  readonly name: string
  readonly tarball: string
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'errand-packages-'))
}

/** Packs each package as `pnpm publish` would: `publishConfig` applied, `workspace:` and `catalog:` replaced. */
export async function packAll(folder: string): Promise<readonly Packed[]> {
  const packages = readdirSync(join(root, 'packages')).toSorted()
  const packed: Packed[] = []
  for (const directory of packages) {
    const cwd = join(root, 'packages', directory)
    const { name } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8')) as { name: string }
    const tarball = join(folder, `${name.replace('@', '').replace('/', '-')}.tgz`)
    await run('pnpm', ['pack', '--out', tarball], cwd)
    packed.push({ name, tarball })
  }
  return packed
}

/** A program that fails throws with all that it said. */
export function run(command: string, parameters: readonly string[], cwd: string): Promise<string> {
  mkdirSync(cwd, { recursive: true })
  return new Promise((resolve, reject) => {
    execFile(
      command,
      parameters,
      { cwd, maxBuffer: 64 * 2 ** 20, timeout: 300_000 },
      (error, stdout, stderr) => {
        if (error)
          reject(new Error(`${command} ${parameters.join(' ')} failed\n${stdout}${stderr}`, { cause: error }))
        else resolve(stdout)
      },
    )
  })
}
