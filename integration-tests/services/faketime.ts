import { chmodSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unpackPackage } from './debian-packages.ts'

/** A clock of a server's own, which a test may set. */
export interface SettableClock {
  /** For the server's environment. */
  readonly env: NodeJS.ProcessEnv
  /** How many hours before or after the real time. */
  set(hours: number): void
  remove(): void
}

const installed = '/usr/lib/*/faketime/libfaketimeMT.so.1'

/** With libfaketime, as installed, or from Debian's package. Undefined if neither can be had. */
export function settableClock(): SettableClock | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'errand-faketime-'))
  // The server runs as another user.
  chmodSync(folder, 0o755)
  const library = globSync(installed)[0] ?? unpacked()
  if (library === undefined) {
    rmSync(folder, { recursive: true })
    return undefined
  }
  const file = join(folder, 'clock')
  const set = (hours: number): void => writeFileSync(file, `${hours < 0 ? '-' : '+'}${Math.abs(hours)}h`)
  set(0)
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
    set,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function unpacked(): string | undefined {
  const folder = unpackPackage('libfaketime')
  return folder === undefined ? undefined : globSync(`${folder}${installed}`)[0]
}
