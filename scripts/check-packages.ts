// Checks what would be published, from the packed tarballs: publint (files, exports) and attw (types as each resolver sees them).
import { rmSync } from 'node:fs'
import { packAll, run, temporaryFolder } from './packing.ts'
import { root } from './workspace.ts'

const folder = temporaryFolder()
try {
  for (const { name, tarball } of await packAll(folder)) {
    await run('publint', ['run', tarball, '--strict'], root)
    // esm-only: CommonJS loads these packages by require(esm), which every supported Node has.
    await run('attw', [tarball, '--profile', 'esm-only', '--no-color'], root)
    console.log(`${name}: publint and attw have no complaint`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
