import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeProject } from './helpers/project.ts'

test('what init writes runs at once: a job is dispatched, run, and its result printed', async () => {
  const project = makeProject()
  const made = await project.command('init')
  expect(made).toMatchObject({ code: 0 })
  expect(made.stdout).toContain('node_modules/.bin/errand work')

  const worker = project.start(['work'])
  await worker.saying(/taking/)
  const ran = await project.command('dispatch', 'example.greet', '{"name":"world"}', '--wait', '20s')
  expect(ran).toMatchObject({ code: 0 })
  expect(JSON.parse(ran.stdout)).toEqual({ text: 'hello, world' })
})

test('without a schema library in the project, what init writes runs as well', async () => {
  const project = makeProject({ zod: false })
  await project.command('init')
  expect(project.read('jobs.ts')).not.toContain(`from 'zod'`)
  expect(await project.command('run', 'example.greet')).toMatchObject({ code: 0 })
})

test('in a package of CommonJS, as npm init makes it, what init writes runs as well', async () => {
  const project = makeProject({ type: 'commonjs' })
  const made = await project.command('init')
  expect(made.stdout).toMatch(/wrote +jobs\.mts/)
  const ran = await project.command('run', 'example.greet', '{"name":"world"}')
  expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('hello, world') })
})

test('in a folder without a package, init says how to make one', async () => {
  const project = makeProject()
  rmSync(join(project.folder, 'package.json'))
  const { next } = await project.json<{ readonly next: readonly string[] }>('init')
  expect(next.slice(0, 2)).toEqual(['npm init -y', 'npm pkg set type=module'])
})

test('init never overwrites a file, and says which it kept', async () => {
  const project = makeProject({ files: { 'jobs.ts': '// mine\n' } })
  const made = await project.command('init')
  expect(made.code).toBe(0)
  expect(made.stdout).toMatch(/kept +jobs\.ts/)
  expect(made.stdout).toMatch(/wrote +worker\.ts/)
  expect(project.read('jobs.ts')).toBe('// mine\n')
})

test('init makes the folder that it is given', async () => {
  const project = makeProject()
  const report = await project.json<{ readonly files: readonly unknown[]; readonly next: readonly string[] }>(
    'init',
    'app',
  )
  expect(report.files).toHaveLength(3)
  expect(report.next[0]).toBe('cd app')
  expect(project.read('app/worker.ts')).toContain('defineWorker')
})
