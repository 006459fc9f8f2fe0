import { expect, test } from 'vitest'
import { addCommand, importPackage, isBundled } from '../../src/config/packages.ts'
import { refusalOf } from '../code-of.ts'
import { packageFiles, temporaryFolder } from '../temporary.ts'

// A name that nothing has: a package manager's NODE_PATH may bring real ones into sight of this process.
const name = '@errand-test/driver-absent'

test.each([
  ['pnpm-lock.yaml', `pnpm add ${name}`],
  ['yarn.lock', `yarn add ${name}`],
  ['bun.lock', `bun add ${name}`],
  ['package-lock.json', `npm install ${name}`],
])(
  'a package that is not installed: an application with %s is told how to add it',
  async (lockfile, command) => {
    await using app = await temporaryFolder({
      'package.json': '{}',
      [lockfile]: '',
      'apps/web/package.json': '{}',
    })
    for (const folder of [app.path, `${app.path}/apps/web`]) {
      const refusal = await refusalOf(() => importPackage(name, folder))
      expect(refusal).toMatchObject({ code: 'E_PACKAGE_MISSING', message: expect.stringContaining(command) })
    }
  },
)

test('without a lockfile the package manager that started the process is told, else npm', async () => {
  await using app = await temporaryFolder({ 'package.json': '{}' })
  const told = (agent: string | undefined) => addCommand('a', app.path, { npm_config_user_agent: agent })
  expect(told('pnpm/12.0.0 npm/? node/v24')).toBe('pnpm add a')
  expect(told('yarn/4.1.0')).toBe('yarn add a')
  expect(told(undefined)).toBe('npm install a')
})

test('the package of the application is imported, not one that happens to stand elsewhere', async () => {
  await using other = await temporaryFolder(packageFiles(name, 'export const from = "elsewhere"'))
  await using app = await temporaryFolder(packageFiles(name, 'export const from = "the application"'))
  const others = [`${other.path}/main.js`]
  expect(await importPackage(name, app.path, others)).toMatchObject({ from: 'the application' })
  await using empty = await temporaryFolder({})
  expect(await importPackage(name, empty.path, others)).toMatchObject({ from: 'elsewhere' })
})

test('packages that came along with `errand` are found through it', async () => {
  const along = Object.entries(packageFiles(name, 'export const from = "errand"'))
  await using app = await temporaryFolder({
    ...Object.fromEntries(along.map(([path, text]) => [`node_modules/errand/${path}`, text])),
    'node_modules/errand/package.json': JSON.stringify({
      name: 'errand',
      exports: { './package.json': './package.json' },
    }),
  })
  expect(await importPackage(name, app.path)).toMatchObject({ from: 'errand' })
})

test('a package that is there and cannot be loaded is not called missing', async () => {
  await using app = await temporaryFolder(packageFiles(name, 'throw new Error("broken build")'))
  const refusal = await refusalOf(() => importPackage(name, app.path))
  expect(refusal).toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining('broken build') })
})

test('a bundle is told apart from a package by the place of its file', () => {
  expect(isBundled('/app/dist/server.js')).toBe(true)
  expect(isBundled('/app/node_modules/@errand/core/dist/config/packages.js')).toBe(false)
  expect(isBundled()).toBe(false)
})
