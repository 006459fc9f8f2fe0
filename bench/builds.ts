import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
export const ownRoot = fileURLToPath(new URL('..', import.meta.url))
const bench = fileURLToPath(new URL('.', import.meta.url))

/** Errand at another commit, measured by the current bench. */
export interface Build extends AsyncDisposable {
  /** For people: `739b7e9`. */
  readonly name: string
  readonly root: string
  /** The module of its child processes. */
  readonly module: string
}

/** Packages that the current subjects import, and their names in older commits. */
const formerly: Readonly<Record<string, string>> = { 'log-postgres': 'job-log' }

/**
 * A commit in its own worktree with its dependencies installed, or a folder that somebody has prepared like that. The current
 * bench is copied beside it, so that both are measured in the same way: only Errand's packages are those of the commit, and
 * peers and client libraries are the current ones. The commit must have everything that `subjects/errand*.ts` uses.
 */
export async function openBuild(against: string, folder: string): Promise<Build> {
  const isFolder = existsSync(join(against, 'packages'))
  const root = isFolder ? resolve(against) : join(folder, 'against')
  const remove = isFolder ? undefined : await worktree(against, root)
  const copy = join(folder, 'against-bench')
  // Beside it and not in it: a given folder stays as it was.
  cpSync(bench, copy, { recursive: true, filter: (path) => basename(path) !== 'node_modules' })
  linkModules(root, join(copy, 'node_modules'))
  return {
    name: isFolder ? basename(root) : against.slice(0, 10),
    root,
    module: join(copy, 'measure', 'child.ts'),
    [Symbol.asyncDispose]: async () => remove?.(),
  }
}

async function worktree(commit: string, root: string): Promise<() => Promise<void>> {
  const git = async (...given: string[]): Promise<unknown> => run('git', given, { cwd: ownRoot })
  // Removes the worktree of an interrupted run whose folder is gone.
  await git('worktree', 'prune')
  await git('worktree', 'add', '--detach', '--force', root, commit)
  const remove = async (): Promise<void> => void (await git('worktree', 'remove', '--force', root))
  try {
    const env = { ...process.env, CI: 'true' }
    await run('npx', ['-y', 'pnpm@12', 'install', '--frozen-lockfile', '--prefer-offline'], {
      cwd: root,
      env,
    })
    return remove
  } catch (error) {
    await remove()
    throw error
  }
}

/** The bench's own modules, but Errand's packages of the build. */
function linkModules(root: string, modules: string): void {
  const own = join(bench, 'node_modules')
  for (const name of readdirSync(own)) {
    if (name.startsWith('.') || name === '@errand' || name === 'errand') continue
    link(join(own, name), join(modules, name))
  }
  const { dependencies } = JSON.parse(readFileSync(join(bench, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>
  }
  for (const [name, from] of Object.entries(dependencies)) {
    if (!from.startsWith('link:')) continue
    const folder = basename(from)
    const found = [folder, formerly[folder]].find(
      (each) => each !== undefined && existsSync(join(root, 'packages', each)),
    )
    // The commit may not have this package yet. A subject that needs it fails, and says so.
    if (found !== undefined) link(join(root, 'packages', found), join(modules, name))
  }
}

function link(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  symlinkSync(realpathSync(from), to)
}
