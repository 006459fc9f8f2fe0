import type { AnyJob, WorkerDefinition, WorkerSource } from '@errand/core'
import { ErrandError } from '@errand/core/ports'
import { loadModule, short } from './load-module.ts'
import type { Exports } from './load-module.ts'
import { findFirst, workerFile } from './project.ts'
import type { Project } from './project.ts'

/** The worker that a file exports by default. */
export async function loadWorker(file: string): Promise<WorkerSource> {
  const exports = await loadModule(file, 'the worker')
  const worker: unknown = await exports['default']
  if (typeof worker === 'function') return () => callFactory(worker as () => unknown, file)
  if (isWorker(worker)) return worker
  throw new ErrandError(
    'E_CONFIG',
    `the worker ${short(file)} exports ${worker === undefined ? 'nothing' : 'no worker'} by default; write \`export default defineWorker({ handlers: [ … ] })\``,
  )
}

async function callFactory(factory: () => unknown, file: string): Promise<WorkerDefinition> {
  const made = await factory()
  if (isWorker(made) && typeof made !== 'function') return made
  throw new ErrandError(
    'E_CONFIG',
    `the function of the worker ${short(file)} returned ${made === undefined ? 'nothing' : 'no worker'}; return \`defineWorker({ handlers: [ … ] })\``,
  )
}

export interface FoundJob {
  readonly job: AnyJob
  /** The file in which it was found. */
  readonly file: string
}

/**
 * Finds the definition of a job: in the named module, else in jobs.ts beside the configuration, else in the worker. If
 * the worker is a factory, it is started for this and stopped again.
 * @throws `E_UNKNOWN_JOB` with the known names.
 */
export async function findJob(
  project: Project,
  name: string,
  jobsModule: string | undefined,
): Promise<FoundJob> {
  const seen = new Map<string, FoundJob>()
  const searched: string[] = []
  for (const search of searches(project, jobsModule)) {
    const { file, jobs } = await search()
    searched.push(short(file))
    for (const job of jobs) if (!seen.has(job.name)) seen.set(job.name, { job, file })
    const found = seen.get(name)
    if (found) return found
  }
  throw unknownJob(name, [...seen.keys()], searched)
}

interface Searched {
  readonly file: string
  readonly jobs: readonly AnyJob[]
}

function searches(project: Project, jobsModule: string | undefined): readonly (() => Promise<Searched>)[] {
  if (jobsModule !== undefined) return [() => jobsOfModule(jobsModule)]
  const beside = findFirst(project.folder, 'jobs')
  return [
    ...(beside === undefined ? [] : [() => jobsOfModule(beside)]),
    () => jobsOfWorker(workerFile(project, undefined)),
  ]
}

async function jobsOfModule(file: string): Promise<Searched> {
  return { file, jobs: jobsAmong(await loadModule(file, 'the jobs module')) }
}

async function jobsOfWorker(file: string): Promise<Searched> {
  const source = await loadWorker(file)
  if (typeof source !== 'function') return { file, jobs: listJobs(source) }
  const worker = await source()
  await worker.stop?.()
  return { file, jobs: listJobs(worker) }
}

function listJobs(worker: WorkerDefinition): readonly AnyJob[] {
  return worker.handlers.map((handler) => handler.job)
}

/** Jobs that are exported one by one, or in an exported list or object. */
function jobsAmong(exports: Exports): readonly AnyJob[] {
  const values = Object.values(exports)
  const inner = values.flatMap((value) =>
    typeof value === 'object' && value !== null && !isJob(value) ? Object.values(value) : [],
  )
  return [...values, ...inner].filter(isJob)
}

function isJob(value: unknown): value is AnyJob {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    typeof value.name === 'string' &&
    'queue' in value &&
    'with' in value &&
    typeof value.with === 'function'
  )
}

function isWorker(value: unknown): value is WorkerSource {
  return typeof value === 'function' || (typeof value === 'object' && value !== null && 'handlers' in value)
}

function unknownJob(name: string, known: readonly string[], searched: readonly string[]): ErrandError {
  const there = known.length === 0 ? 'it defines none' : `it defines ${known.toSorted().join(', ')}`
  return new ErrandError(
    'E_UNKNOWN_JOB',
    `no job is named ${JSON.stringify(name)} in ${searched.join(' or ')}; ${there}. Name its module with --jobs FILE, or store it unvalidated with --unchecked`,
  )
}
