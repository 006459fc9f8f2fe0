import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * The folder of an unpacked Debian package, with the packages that it needs and this machine does not have. Installs
 * nothing. It stays for later tests and runs, since to download and unpack takes seconds. Undefined if they cannot be had.
 */
export function unpackPackage(name: string): string | undefined {
  const all = join(tmpdir(), `errand-debian-packages-${process.getuid?.() ?? ''}`)
  const folder = join(all, name)
  if (existsSync(folder)) return folder
  mkdirSync(all, { recursive: true })
  const making = mkdtempSync(join(all, `${name}-`))
  // Servers run as another user.
  for (const each of [all, making]) chmodSync(each, 0o755)
  try {
    download(name, making)
    renameSync(making, folder)
  } catch {
    rmSync(making, { recursive: true, force: true })
  }
  // Another test may have been first.
  return existsSync(folder) ? folder : undefined
}

function download(name: string, folder: string): void {
  const archives = join(folder, 'archives')
  mkdirSync(join(archives, 'partial'), { recursive: true })
  const settings = {
    'Dir::Cache::archives': `${archives}/`,
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    // Nothing is installed, so no lock is needed.
    'Debug::NoLocking': '1',
  }
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  execFileSync('apt-get', ['-y', '--download-only', ...options, 'install', name], { stdio: 'ignore' })
  for (const archive of globSync(join(archives, '*.deb')))
    execFileSync('dpkg-deb', ['-x', archive, folder], { stdio: 'ignore' })
  rmSync(archives, { recursive: true })
}
