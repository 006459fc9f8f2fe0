// Checks what would be published, from the packed tarballs: publint (files, exports) and attw (types as each resolver sees them).
// And that the SQL that a package reads is in its tarball: it is no module, so no tool misses it.
import { globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { packAll, run, temporaryFolder } from './packing.ts'
import { listPackages, root } from './workspace.ts'

const folders = new Map(listPackages().map((one) => [one.name, join(root, one.folder)]))

const folder = temporaryFolder()
try {
  for (const { name, tarball } of await packAll(folder)) {
    await run('publint', ['run', tarball, '--strict'], root)
    // esm-only: CommonJS loads these packages by require(esm), which every supported Node has.
    await run('attw', [tarball, '--profile', 'esm-only', '--no-color'], root)
    const packed = (await run('tar', ['-tzf', tarball], root)).split('\n')
    const lost = globSync('sql/**/*.sql', { cwd: folders.get(name)! }).filter(
      (file) => !packed.includes(`package/${file}`),
    )
    if (lost.length > 0) throw new Error(`${name}: the tarball lacks ${lost.join(', ')}`)
    console.log(`${name}: publint and attw have no complaint`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
