// Installs the packed tarballs as a user would, into a pnpm application (TypeScript without a build), into a CommonJS one
// installed by npm, and as the Dockerfile of examples/container does, and runs a job in each.
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkContainer } from './container.ts'
import { packAll, type Packed, run, temporaryFolder } from './packing.ts'
import { root } from './workspace.ts'

const catalog = readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8')
const fixtures = join(root, 'scripts', 'applications')

/** What `errand jobs list` may load, with commander's own files. Each file costs a short command more than what is in it. */
const mostFiles = 23

const folder = temporaryFolder()
try {
  const packed = await packAll(folder)
  await checkPnpmApplication(join(folder, 'pnpm-application'), packed)
  await checkCommonJsApplication(join(folder, 'commonjs-application'), packed)
  await checkContainerApplication(join(folder, 'container-application'), packed)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** It depends on `errand` alone: pnpm hides from it what `errand` itself depends on. */
async function checkPnpmApplication(application: string, packed: readonly Packed[]): Promise<void> {
  cpSync(join(fixtures, 'pnpm'), application, { recursive: true })
  writeJson(join(application, 'package.json'), {
    private: true,
    type: 'module',
    dependencies: { errand: `file:${findTarball(packed, 'errand')}`, zod: readVersion('zod') },
    devDependencies: { '@types/node': readVersion("'@types/node'"), typescript: readVersion('typescript') },
  })
  // None of these is in the registry yet; once they are, it is still these that must be tried.
  const overrides = packed.map(({ name, tarball }) => `  '${name}': file:${tarball}\n`).join('')
  writeFileSync(join(application, 'pnpm-workspace.yaml'), `packages: []\noverrides:\n${overrides}`)

  await run('pnpm', ['install', '--prefer-offline'], application)
  await run('pnpm', ['exec', 'tsc', '-p', '.'], application)
  report('pnpm application', await run('node', ['app.ts'], application))
  await run('pnpm', ['exec', 'errand', '--help'], application)
}

async function checkCommonJsApplication(application: string, packed: readonly Packed[]): Promise<void> {
  cpSync(join(fixtures, 'commonjs'), application, { recursive: true })
  const tarballs = Object.fromEntries(packed.map(({ name, tarball }) => [name, `file:${tarball}`]))
  delete tarballs['@errand/testkit']
  writeJson(join(application, 'package.json'), {
    private: true,
    dependencies: { ...tarballs, zod: readVersion('zod') },
  })

  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], application)
  report('CommonJS application', await run('node', ['app.cjs'], application))
  await checkCommand(application)
}

/** The command works where it is installed, and loads few files. */
async function checkCommand(application: string): Promise<void> {
  const bin = join(application, 'node_modules', 'errand', 'dist', 'bin.js')
  const count = `import { registerHooks } from 'node:module'
    let files = 0
    registerHooks({ load: (url, context, next) => (url.startsWith('file:') && files++, next(url, context)) })
    process.on('exit', () => console.log(files))`
  const counting = `data:text/javascript,${encodeURIComponent(count)}`
  const list = ['jobs', 'list', '--json', '--log', 'sqlite:./app.db']
  const said = await run(process.execPath, ['--import', counting, bin, ...list], application)
  const files = Number(said.trim().split('\n').at(-1))
  if (files > mostFiles) throw new Error(`errand jobs list loads ${files} files instead of ${mostFiles}`)
  console.log(`errand jobs list: loads ${files} files`)
}

async function checkContainerApplication(application: string, packed: readonly Packed[]): Promise<void> {
  cpSync(join(fixtures, 'container'), application, { recursive: true })
  const tarballs = Object.fromEntries(packed.map(({ name, tarball }) => [name, `file:${tarball}`]))
  delete tarballs['@errand/testkit']
  writeJson(join(application, 'package.json'), { private: true, type: 'module', dependencies: tarballs })
  await run('npm', ['install', '--package-lock-only', '--no-audit', '--prefer-offline'], application)
  await checkContainer(application, `${application}-image`)
  console.log('container: its steps, its probe and its command work; SIGTERM lets a job finish')
}

function report(application: string, said: string): void {
  const last = said.trim().split('\n').at(-1)
  if (last !== 'the job said: hello, errand') throw new Error(`${application}: the job did not run\n${said}`)
  console.log(`${application}: a job ran`)
}

function findTarball(packed: readonly Packed[], name: string): string {
  const found = packed.find((one) => one.name === name)
  if (!found) throw new Error(`package ${name} is missing`)
  return found.tarball
}

function readVersion(name: string): string {
  const line = catalog.split('\n').find((one) => one.startsWith(`  ${name}: `))
  if (line === undefined) throw new Error(`${name} is not in the catalog of pnpm-workspace.yaml`)
  return line.slice(line.indexOf(': ') + 2)
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}
