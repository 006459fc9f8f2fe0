import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A disk in memory that may be full. Only processes that are started `through` it see its folder. */
export interface SmallDisk {
  readonly folder: string
  /** For `startMember`. */
  readonly through: readonly string[]
  /** The same folder for everybody else, to copy files; SQLite takes the path for another one. */
  readonly seen: string
  /** Fills the room that is left. */
  fill(): void
  /** Frees the room again. */
  makeRoom(): void
}

/** Only this program and those that join it see the mounts, which end with it. It ends with the process that started it. */
const holder = `
mount -t tmpfs -o "size=$1" tmpfs "$2" || exit 1
echo mounted
exec cat`

const inNamespace = ['--mount', '--propagation', 'private', '/bin/sh', '-c']

/** Whether this machine lets a test mount something: it needs root, and Linux. */
export function canHaveSmallDisk(): boolean {
  try {
    execFileSync('unshare', [...inNamespace, 'mount -t tmpfs tmpfs /mnt && nsenter --version'], {
      stdio: 'ignore',
    })
    return true
  } catch {
    return false
  }
}

export async function startSmallDisk(
  size: string,
  atTheEnd: (act: () => void | Promise<void>) => void,
): Promise<SmallDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-disk-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  const child = spawn('unshare', [...inNamespace, holder, 'sh', size, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  atTheEnd(async () => {
    child.stdin.end()
    await exited
  })
  await Promise.race([once(child.stdout, 'data'), exited])
  if (child.exitCode !== null) throw new Error('no disk could be mounted')
  const seen = join(`/proc/${child.pid}/root`, folder)
  const filler = join(seen, 'filler')
  return {
    folder,
    through: ['nsenter', `--mount=/proc/${child.pid}/ns/mnt`],
    seen,
    fill() {
      const piece = Buffer.alloc(4_096)
      try {
        for (;;) appendFileSync(filler, piece)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    },
    makeRoom: () => rmSync(filler, { force: true }),
  }
}
