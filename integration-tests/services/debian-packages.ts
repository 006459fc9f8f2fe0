import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Unpacks a Debian package into a folder, with the packages that it needs and this machine does not have. Installs
 * nothing. False if they cannot be had.
 */
export function unpackPackage(name: string, folder: string): boolean {
  const archives = join(folder, 'archives')
  try {
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
    return true
  } catch {
    return false
  }
}
