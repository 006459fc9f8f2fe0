import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

const managers = [
  ['pnpm-lock.yaml', 'pnpm add'],
  ['yarn.lock', 'yarn add'],
  ['bun.lock', 'bun add'],
  ['bun.lockb', 'bun add'],
  ['package-lock.json', 'npm install'],
] as const

/** How the project in this folder adds a package, by its lock file: `pnpm add -D tsx`. */
export function addCommand(folder: string, name: string, kind: 'development' | 'production'): string {
  const flag = kind === 'development' ? ' -D' : ''
  for (let at = folder; ; at = dirname(at)) {
    const found = managers.find(([lock]) => existsSync(join(at, lock)))
    if (found) return `${found[1]}${flag} ${name}`
    if (dirname(at) === at) return `npm install${flag} ${name}`
  }
}
