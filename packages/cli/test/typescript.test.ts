import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeProject } from './helpers/project.ts'
import type { Project, ProjectOptions } from './helpers/project.ts'

const config = `import { defineConfig } from 'errand'\nexport default defineConfig({ log: 'sqlite:./a.db' })`
const names = `export const names = { colour: 'colour' }\n`
/** A module of jobs, which the command imports as it does a worker or a configuration. */
const jobs = (imports: string, body = ''): string => `
import { defineJob } from 'errand'
${imports}
${body}
export const colour = defineJob({ name: names.colour })
`
const plain = `import { names } from './names.ts'`
const load = ['dispatch', 'colour']

/** What Node's type stripping cannot do: how it is named, and a project that needs it. */
const constructs: readonly (readonly [name: string, named: RegExp, files: Record<string, string>])[] = [
  [
    'an enum',
    /an enum \(jobs\.ts:\d+\)/,
    { 'jobs.ts': jobs(plain, 'enum Colour { Red }\nconsole.error(Colour.Red)') },
  ],
  [
    'an enum in what it imports',
    /an enum \(lib\/colours\.ts:2\)/,
    {
      'jobs.ts': jobs(`${plain}\nimport './lib/colours.ts'`),
      'lib/colours.ts': '\nenum Colour { Red }\nconsole.error(Colour.Red)',
    },
  ],
  [
    'a parameter property',
    /a parameter property \(jobs\.ts:\d+\)/,
    {
      'jobs.ts': jobs(
        plain,
        'class Paint { constructor(readonly colour: string) {} }\nconsole.error(new Paint("red").colour)',
      ),
    },
  ],
  [
    'a namespace',
    /a namespace \(jobs\.ts/,
    { 'jobs.ts': jobs(plain, 'namespace Paint { export const red = 1 }\nconsole.error(Paint.red)') },
  ],
  [
    'a decorator',
    /a decorator \(lib\/paint\.ts:2\)/,
    {
      'jobs.ts': jobs(`${plain}\nimport './lib/paint.ts'`),
      'lib/paint.ts':
        'const plain = (_what: unknown, _context: unknown): void => {}\n@plain\nexport class Paint {}',
    },
  ],
  [
    'an import without its extension',
    /an import without its extension \(jobs\.ts\)/,
    { 'jobs.ts': jobs(`import { names } from './names'`) },
  ],
  [
    'a .js import of a .ts file',
    /an import of names\.ts as if it were JavaScript \(jobs\.ts\)/,
    { 'jobs.ts': jobs(`import { names } from './names.js'`) },
  ],
  [
    'an import of a folder',
    /an import of a folder \(jobs\.ts\)/,
    { 'jobs.ts': jobs(`import { names } from './lib'`), 'lib/index.ts': names },
  ],
  [
    'a type imported as a value',
    /the type Red imported as a value \(jobs\.ts:\d+\)/,
    {
      'jobs.ts': jobs(`${plain}\nimport { Red } from './lib/red.ts'`, 'export const red: Red = "red"'),
      'lib/red.ts': `export type Red = 'red'`,
    },
  ],
  [
    'a path alias',
    /the path alias "@\/\*" of tsconfig\.json \(jobs\.ts\)/,
    {
      'jobs.ts': jobs(`import { names } from '@/names'`),
      'tsconfig.json': '{ "compilerOptions": { "paths": { "@/*": ["./*"] } } }',
    },
  ],
]

const make = (files: Record<string, string>, options: ProjectOptions): Project =>
  makeProject({ ...options, files: { 'names.ts': names, 'errand.config.ts': config, ...files } })

describe.each(['module', 'none'] as const)('in a package whose type is %s', (type) => {
  // Without a type, tsx compiles to CommonJS: another loader of Node's, and other ways to fail.
  const some =
    type === 'module' ? constructs : constructs.filter(([name]) => /^(an enum|a decorator|a \.js)/.test(name))

  test('TypeScript that can be stripped needs no tsx', async () => {
    const ran = await make({ 'jobs.ts': jobs(plain) }, { type }).command(...load)
    expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: '' })
  })

  test.each(some)("%s runs by the project's own tsx", async (_name, _named, files) => {
    const ran = await make(files, { type, tsx: true }).command(...load)
    expect(ran, ran.stderr).toMatchObject({ code: 0 })
  })

  test.each(some)('%s is named where there is no tsx, with the ways out', async (_name, named, files) => {
    const ran = await make(files, { type }).command(...load)
    expect(ran).toMatchObject({ code: 5 })
    expect(ran.stderr).toContain('E_TYPESCRIPT')
    expect(ran.stderr).toMatch(named)
    expect(ran.stderr).toMatch(/npm install -D tsx.*or write .*or build the project/)
  })
})

test('the configuration and the worker may need tsx as well, and share their modules', async () => {
  const project = makeProject({
    tsx: true,
    files: {
      'jobs.ts': `import { defineJob } from 'errand'\nexport const colour = defineJob({ name: 'colour' })`,
      'lib/loads.ts': `console.error('loaded once')\nexport const log = 'sqlite:./a.db'`,
      'errand.config.ts': `import { log } from './lib/loads'\nexport default { log }`,
      'worker.ts': `
import { defineWorker, handle } from 'errand'
import { colour } from './jobs'
import './lib/loads'
export default defineWorker({ handlers: [handle(colour, () => {})] })`,
    },
  })
  const ran = await project.command('work', '--once')
  expect(ran, ran.stderr).toMatchObject({ code: 0 })
  expect(ran.stderr.match(/loaded once/g)).toHaveLength(1)
})

test('a syntax error is told as such, with its place, and not taken for missing tsx', async () => {
  const ran = await makeProject({
    files: { 'errand.config.ts': config, 'jobs.ts': 'export default {{' },
  }).command(...load)
  expect(ran).toMatchObject({ code: 5 })
  expect(ran.stderr).toMatch(/E_CONFIG.*jobs\.ts could not be loaded: SyntaxError.*\(jobs\.ts:1\)/)
})

test('a folder without any package.json above it is no module, and works', async () => {
  const project = makeProject({
    files: { 'names.ts': names, 'jobs.ts': jobs(plain), 'errand.config.ts': config },
  })
  rmSync(join(project.folder, 'package.json'))
  expect(await project.run(load), 'loaded').toMatchObject({ code: 0 })
})
