import { readFileSync } from 'node:fs'

const lookEveryMs = 500
const shell = /^(?:ba|da|a|z)?sh$/

/** Whether npm, npx, pnpm, yarn or bun has started this process: each of them says so. */
export function isStartedByRunner(env: NodeJS.ProcessEnv = process.env): boolean {
  return ['npm_lifecycle_event', 'npm_execpath', 'npm_command', 'npm_config_user_agent'].some(
    (name) => env[name] !== undefined,
  )
}

// Read when this process begins: its parent may be gone before the worker's files have loaded.
const parentsAtStart = parents()

/**
 * Calls `act` once when the process that started this one has gone: no signal will come any more. On SIGTERM, a package
 * runner ends with its shell and leaves its child running.
 * @returns a function that ends the watch.
 */
export function onParentGone(act: () => void): () => void {
  const timer = setInterval(() => {
    if (parents() === parentsAtStart) return
    clearInterval(timer)
    act()
  }, lookEveryMs)
  timer.unref()
  return () => clearInterval(timer)
}

/** The parent. If that is a shell which waits for this process, also the process that started the shell. */
function parents(): string {
  const { ppid } = process
  const [name = '', above = ''] = readStat(ppid)
  return shell.test(name) ? `${ppid} ${above}` : String(ppid)
}

/** Name and parent of a process, on systems with /proc. */
function readStat(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const end = stat.lastIndexOf(')')
    return [stat.slice(stat.indexOf('(') + 1, end), stat.slice(end + 2).split(' ')[1] ?? '']
  } catch {
    return []
  }
}
