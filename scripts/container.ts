// What the Dockerfile of examples/container does, without Docker: its steps in a folder, and its command there.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { run } from './packing.ts'
import { root } from './workspace.ts'

const example = join(root, 'examples', 'container')

interface Image {
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>
  readonly command: readonly string[]
}

/**
 * Builds an application's folder as the Dockerfile would, starts its command, and stops it while a job runs.
 * @param context the application, with its lock file
 * @throws where a step fails, or the worker does not end in order
 */
export async function checkContainer(context: string, folder: string): Promise<void> {
  cpSync(example, context, { recursive: true })
  const { environment, command, ...image } = await build(context, folder)
  const env = { ...process.env, ...environment, ERRAND_LOG: `sqlite:${join(folder, 'errand.db')}` }
  const at = { cwd: image.folder, env }
  const errand = (...words: readonly string[]): Promise<string> =>
    run(join('node_modules', '.bin', 'errand'), words, image.folder, env)
  const [file = '', ...parameters] = command
  const probe = readProbe(readFileSync(join(example, 'kubernetes.yaml'), 'utf8'))
  const takes = (): Promise<boolean> =>
    run(probe[0] ?? '', probe.slice(1), image.folder, env).then(
      () => true,
      () => false,
    )

  await errand('migrate')
  if (await takes()) throw new Error('the probe says that a worker takes jobs before there is one')
  const worker = spawn(file, parameters, { ...at, stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    const said = listen(worker)
    while (!(await takes()))
      if (worker.exitCode !== null) throw new Error(`the worker ended by itself\n${said.all()}`)
    await errand('dispatch', 'application.slow')
    await said.until('it has begun')
    const closed = once(worker, 'close')
    worker.kill('SIGTERM')
    const [code, signal] = (await closed) as [number | null, NodeJS.Signals | null]
    if (code !== 0) throw new Error(`SIGTERM: the worker ended by ${code ?? signal}\n${said.all()}`)
    const jobs = await errand('jobs', 'list', '--state', 'succeeded', '--json')
    if (!jobs.includes('application.slow'))
      throw new Error(`SIGTERM: the worker did not let its job finish\n${said.all()}${jobs}`)
  } finally {
    worker.kill('SIGKILL')
  }
}

/** Every instruction that the Dockerfile has; another one is an error, so that none is passed over. */
async function build(context: string, folder: string): Promise<Image> {
  const environment: Record<string, string> = {}
  const ignored = readFileSync(join(context, '.dockerignore'), 'utf8').trim().split('\n')
  let at = folder
  let command: readonly string[] | undefined
  for (const line of readFileSync(join(context, 'Dockerfile'), 'utf8').split('\n')) {
    const [, instruction = '', rest = ''] = /^(\w+) (.*)$/.exec(line) ?? []
    if (line === '' || line.startsWith('#') || instruction === 'FROM' || instruction === 'USER') continue
    if (instruction === 'WORKDIR') mkdirSync((at = join(folder, rest)), { recursive: true })
    else if (instruction === 'ENV') environment[rest.split('=')[0] ?? ''] = rest.slice(rest.indexOf('=') + 1)
    else if (instruction === 'COPY') copy(context, at, rest.split(' '), ignored)
    else if (instruction === 'RUN') await run('sh', ['-c', rest], at, { ...process.env, ...environment })
    else if (instruction === 'CMD') command = JSON.parse(rest) as readonly string[]
    else throw new Error(`this does not know how to do: ${line}`)
  }
  if (!command) throw new Error('the Dockerfile has no CMD')
  return { folder: at, environment, command }
}

function copy(context: string, at: string, paths: readonly string[], ignored: readonly string[]): void {
  const to = join(at, paths.at(-1) ?? '')
  for (const path of paths.slice(0, -1)) {
    const from = join(context, path)
    const filter = (each: string): boolean => !ignored.includes(basename(each))
    cpSync(from, path === '.' ? to : join(to, path), { recursive: true, filter })
  }
}

/** The command of the probe, as Kubernetes would run it in the container. */
function readProbe(yaml: string): readonly string[] {
  const [, list = ''] = /startupProbe:\n +exec: \{ command: (\[.*\]) \}/.exec(yaml) ?? []
  return JSON.parse(list.replaceAll("'", '"')) as readonly string[]
}

function listen(child: ChildProcess): { all(): string; until(text: string): Promise<void> } {
  let all = ''
  const ended = once(child, 'exit')
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (all += text))
  return {
    all: () => all,
    async until(text) {
      while (!all.includes(text)) {
        await Promise.race([once(child.stdout!, 'data'), ended])
        if (child.exitCode !== null) throw new Error(`the worker ended without saying "${text}"\n${all}`)
      }
    },
  }
}
