import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listPackages, root } from './workspace.ts'

export interface Packed {
  readonly name: string
  readonly tarball: string
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'errand-packages-'))
}

/** Packs each package as `pnpm publish` would: `publishConfig` applied, `workspace:` and `catalog:` replaced. */
export async function packAll(folder: string): Promise<readonly Packed[]> {
  const packed: Packed[] = []
  for (const { name, folder: from } of listPackages()) {
    const tarball = join(folder, `${name.replace('@', '').replace('/', '-')}.tgz`)
    await run('pnpm', ['pack', '--out', tarball], join(root, from))
    packed.push({ name, tarball })
  }
  return packed
}

/** A program that fails throws with all that it said. */
export function run(
  command: string,
  parameters: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  mkdirSync(cwd, { recursive: true })
  return new Promise((resolve, reject) => {
    execFile(
      command,
      parameters,
      { cwd, env, maxBuffer: 64 * 2 ** 20, timeout: 300_000 },
      (error, stdout, stderr) => {
        if (error)
          reject(new Error(`${command} ${parameters.join(' ')} failed\n${stdout}${stderr}`, { cause: error }))
        else resolve(stdout)
      },
    )
  })
}
