import { readFileSync } from 'node:fs'

export interface User {
  readonly uid: number
  readonly gid: number
}

/** A user of this machine. */
export function findUser(name: string): User | undefined {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const entry = lines.find((line) => line.startsWith(`${name}:`))?.split(':')
  return entry && { uid: Number(entry[2]), gid: Number(entry[3]) }
}
