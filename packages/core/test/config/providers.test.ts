// A URL finds the package that opens it: by the package's name, or by what its package.json declares.
import { expect, test } from 'vitest'
import { importPackage } from '../../src/config/packages.ts'
import { findProvider } from '../../src/config/providers.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { packageFiles, temporaryFolder } from '../temporary.ts'

// Schemes that nothing opens: a package manager's NODE_PATH may bring real packages into sight of this process.
const source = (from: string): string => `export const from = ${JSON.stringify(from)}`
const published = {
  errand: { packages: { log: { carbon: '@errand/log-carbon' }, driver: { owl: '@errand/driver-messages' } } },
}

async function from(scheme: string, folder: string, others: readonly string[] = []): Promise<unknown> {
  return (await importPackage(findProvider(scheme, 'driver', { folder, others })))['from']
}

test.each(['@errand/driver-pigeon', 'errand-driver-pigeon'])(
  'the scheme names the package by convention: %s',
  async (name) => {
    await using app = await temporaryFolder(packageFiles(name, source(name)))
    expect(await from('pigeon', app.path)).toBe(name)
  },
)

test.each([
  ['a dependency', { 'package.json': JSON.stringify({ dependencies: { '@acme/post': '1' } }) }],
  [
    'a dependency of the workspace',
    { '../package.json': JSON.stringify({ dependencies: { '@acme/post': '1' } }) },
  ],
])('%s declares the scheme, whatever its name is', async (_, manifest) => {
  await using app = await temporaryFolder(
    Object.fromEntries(
      Object.entries({
        ...packageFiles('@acme/post', source('post'), { errand: { driver: ['owl', 'pigeon'] } }),
        ...packageFiles('@acme/other', source('other')),
        ...manifest,
      }).map(([path, text]) => [`app/${path}`, text]),
    ),
  )
  expect(await from('pigeon', `${app.path}/app`)).toBe('post')
})

test('without a package.json, as in a small container, packages with errand in their name are found', async () => {
  await using app = await temporaryFolder(
    packageFiles('@acme/errand-post', source('post'), { errand: { driver: ['pigeon'] } }),
  )
  expect(await from('pigeon', app.path)).toBe('post')
})

test('two packages that declare one scheme: the error names both', async () => {
  await using app = await temporaryFolder({
    ...packageFiles('errand-a', source('a'), { errand: { driver: ['pigeon'] } }),
    ...packageFiles('errand-b', source('b'), { errand: { driver: ['pigeon'] } }),
  })
  const refusal = await catchRefusal(() => from('pigeon', app.path))
  expect(refusal).toMatchObject({
    code: 'E_CONFIG',
    message: expect.stringContaining('errand-a and errand-b'),
  })
})

test('a package that is named by the scheme goes before one that declares it, wherever it is', async () => {
  await using other = await temporaryFolder(packageFiles('errand-driver-pigeon', source('named')))
  await using app = await temporaryFolder(
    packageFiles('@acme/errand-post', source('declared'), { errand: { driver: ['pigeon'] } }),
  )
  expect(await from('pigeon', app.path, [`${other.path}/main.js`])).toBe('named')
})

test('the package of the application is taken, not one that stands elsewhere', async () => {
  await using other = await temporaryFolder(packageFiles('errand-driver-pigeon', source('elsewhere')))
  await using app = await temporaryFolder(packageFiles('errand-driver-pigeon', source('the application')))
  const others = [`${other.path}/main.js`]
  expect(await from('pigeon', app.path, others)).toBe('the application')
  await using empty = await temporaryFolder({})
  expect(await from('pigeon', empty.path, others)).toBe('elsewhere')
})

test('packages that came along with `errand` are found through it', async () => {
  const along = Object.entries({
    ...packageFiles('errand-driver-pigeon', source('errand')),
    ...packageFiles('@errand/messages', source('declared'), { errand: { driver: ['owl'] } }),
  })
  await using app = await temporaryFolder({
    ...Object.fromEntries(along.map(([path, text]) => [`node_modules/errand/${path}`, text])),
    ...packageFiles('errand', ''),
  })
  expect(await from('pigeon', app.path)).toBe('errand')
  expect(await from('owl', app.path)).toBe('declared')
})

test.each([
  [
    'a package of Errand that is not installed',
    'owl',
    'E_PACKAGE_MISSING',
    'npm install @errand/driver-messages',
  ],
  ['a scheme that is nearly right', 'owls', 'E_URL', 'did you mean "owl:"?'],
  ['a scheme that nobody knows', 'telegraph', 'E_URL', 'known: owl:'],
  ['how others name their packages', 'telegraph', 'E_URL', 'errand-driver-telegraph'],
  ['a name that every object has', 'constructor', 'E_URL', '"constructor:"'],
  ['a log', 'carbon', 'E_URL', '"carbon:" is a log, not a driver'],
])('a scheme that no installed package opens: %s', async (_, scheme, code, message) => {
  await using app = await temporaryFolder({
    ...packageFiles('errand', '', published),
    'package-lock.json': '',
  })
  const refusal = await catchRefusal(() => from(scheme, app.path))
  expect(refusal).toMatchObject({ code, message: expect.stringContaining(message) })
})

test('a package that is there and cannot be loaded is not called missing', async () => {
  await using app = await temporaryFolder(
    packageFiles('errand-driver-pigeon', 'throw new Error("broken build")'),
  )
  const refusal = await catchRefusal(() => from('pigeon', app.path))
  expect(refusal).toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining('broken build') })
})
