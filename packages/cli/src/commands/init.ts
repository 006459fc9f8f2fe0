import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { ErrandError } from '@errand/core/ports'
import { addCommand } from '../application/package-manager.ts'
import { packageType } from '../application/package-type.ts'
import { short } from '../application/load-module.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'
import { configFile, exampleJob, jobsFile, workerFile } from './init-files.ts'
import type { SchemaLibrary } from './init-files.ts'

export function init(program: Command): void {
  const command = program
    .command('init')
    .description('write jobs.ts, worker.ts and errand.config.ts, ready to run; nothing is overwritten')
    .argument('[folder]', 'where to', '.')
  action<object, [string]>(command, ({ terminal }, _options, folder) => {
    const target = resolve(folder)
    const library = schemaLibrary(target)
    const errand =
      canResolve(target, '@errand/core') && !canResolve(target, 'errand') ? '@errand/core' : 'errand'
    const extension = packageType(join(target, 'jobs.ts'))?.type === 'commonjs' ? 'mts' : 'ts'
    const files = [
      [`jobs.${extension}`, jobsFile(errand, library)],
      [`worker.${extension}`, workerFile(errand, library, extension)],
      [`errand.config.${extension}`, configFile(errand, extension)],
    ] as const
    const report = files.map(([name, text]) => ({
      file: join(target, name),
      written: write(target, name, text),
    }))
    const next = nextSteps(target, errand, library)

    if (terminal.json) return terminal.value({ files: report, next })
    for (const { file, written } of report) {
      terminal.print(
        `${written ? terminal.paint('good', 'wrote') : terminal.paint('faint', 'kept ')}  ${short(file)}`,
      )
    }
    terminal.print('\nNext:')
    for (const step of next) terminal.print(`  ${terminal.paint('strong', step)}`)
  })
}

/** Returns false if the file exists already. With `wx`, there is no moment in which another's file could be lost. */
function write(folder: string, name: string, text: string): boolean {
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, name), text, { flag: 'wx' })
    return true
  } catch (error) {
    if (
      error instanceof Error &&
      'code' in error &&
      error.code === 'EEXIST' &&
      existsSync(join(folder, name))
    )
      return false
    throw new ErrandError('E_OPTION', `${join(folder, name)} cannot be written`, { cause: error })
  }
}

function nextSteps(folder: string, errand: string, library: SchemaLibrary | undefined): readonly string[] {
  const steps: string[] = []
  if (resolve(folder) !== process.cwd()) steps.push(`cd ${short(folder)}`)
  if (packageType(join(folder, 'worker.ts')) === undefined)
    steps.push('npm init -y', 'npm pkg set type=module')
  if (!canResolve(folder, errand)) steps.push(addCommand(folder, errand, 'production'))
  steps.push(
    'node_modules/.bin/errand work',
    `npx errand dispatch ${exampleJob}${library ? ` '{"name":"world"}'` : ''} --wait`,
    'npx errand jobs list',
  )
  return steps
}

function schemaLibrary(folder: string): SchemaLibrary | undefined {
  return (['zod', 'valibot'] as const).find((name) => canResolve(folder, name))
}

function canResolve(folder: string, name: string): boolean {
  try {
    createRequire(join(folder, 'package.json')).resolve(name)
    return true
  } catch {
    return false
  }
}
