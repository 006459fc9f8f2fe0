import { expect, test } from 'vitest'
import { addCommand, isBundled, missingPackage } from '../../src/config/packages.ts'
import { temporaryFolder } from '../temporary.ts'

const name = '@errand/driver-absent'

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
      const refusal = missingPackage(name, folder)
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

test('a bundle is told apart from a package by the folder of its file, installed or not', async () => {
  await using app = await temporaryFolder({
    'dist/server.js': '',
    'node_modules/@errand/core/package.json': '{ "name": "@errand/core" }',
    'node_modules/@errand/core/dist/shared.js': '',
  })
  expect(isBundled('/app/dist/server.js')).toBe(true)
  expect(isBundled(`${app.path}/dist/server.js`)).toBe(true)
  expect(isBundled(`${app.path}/node_modules/@errand/core/dist/shared.js`)).toBe(false)
  expect(isBundled()).toBe(false)
})
