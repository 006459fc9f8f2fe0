import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const listening = '0A'

/** The process that listens on a port of this machine, by Linux's /proc; undefined if it cannot be seen. */
export function pidListening(url: string, defaultPort: number): number | undefined {
  const { hostname, port } = new URL(url)
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(hostname)) return undefined
  const inodes = new Set(listSockets(Number(port) || defaultPort).map((inode) => `socket:[${inode}]`))
  if (inodes.size === 0) return undefined
  return processes().find((pid) => listFiles(pid).some((file) => inodes.has(file)))
}

function listSockets(port: number): string[] {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['tcp', 'tcp6'].flatMap((kind) =>
    readLines(`/proc/net/${kind}`)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, address, , state]) => address?.endsWith(ending) && state === listening)
      .map((fields) => fields[9] ?? ''),
  )
}

function processes(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Boolean)
  } catch {
    return []
  }
}

function listFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  } catch {
    // The process is another user's, or has just closed a file.
    return []
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'latin1').split('\n')
  } catch {
    return []
  }
}
