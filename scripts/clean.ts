// A file whose source is gone must not be published: every build starts from nothing.
import { globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.ts'

for (const dist of globSync('packages/*/dist', { cwd: root })) rmSync(join(root, dist), { recursive: true })
