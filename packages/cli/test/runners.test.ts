import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '@errand/testkit'
import { expect, test } from 'vitest'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import type { Application } from './helpers/application.ts'
import { bin } from './helpers/command.ts'
import type { Running } from './helpers/command.ts'

// The runner of this very run, where that is pnpm.
const pnpm = process.env['npm_execpath'] ?? ''
const hasPnpm = /pnpm[^/]*$/.test(pnpm)
const hasNpm = spawnSync('npm', ['--version']).status === 0
const byScript = /\.[cm]?js$/.test(pnpm) ? [process.execPath, pnpm] : [pnpm]

const starts: readonly (readonly [name: string, words: readonly string[]])[] = [
  ...(hasNpm
    ? ([
        ['npx', ['npx', 'errand', 'work']],
        ['npm run', ['npm', 'run', 'work']],
      ] as const)
    : []),
  ...(hasPnpm
    ? ([
        ['pnpm exec', [...byScript, 'exec', 'errand', 'work']],
        ['pnpm run', [...byScript, 'run', 'work']],
      ] as const)
    : []),
]

const worker = `
import { defineWorker, handle } from 'errand'
import { greet } from './jobs.ts'
export default defineWorker({
  handlers: [handle(greet, async (_payload, ctx) => {
    console.error('running in ' + process.pid + '.')
    await new Promise((resolve) => ctx.stopping.addEventListener('abort', resolve))
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    return { text: ctx.signal.aborted ? 'aborted' : 'finished' }
  })],
})`

/** As `npm install` leaves it: the command in node_modules/.bin, and a script that starts it. */
function withCommand(more = ''): Application {
  const app = makeApplication({ files: { 'worker.ts': worker } })
  const scripts = { work: `errand work ${more}` }
  writeFileSync(join(app.folder, 'package.json'), JSON.stringify({ private: true, type: 'module', scripts }))
  const folder = join(app.folder, 'node_modules', '.bin')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'errand'), `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`)
  chmodSync(join(folder, 'errand'), 0o755)
  return app
}

/** The id of the worker's process, once its handler runs. */
async function running(started: Running): Promise<number> {
  await started.saying(/running in \d+\./)
  return Number(/running in (\d+)\./.exec(started.said().stderr)?.[1])
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test.each(starts)(
  'SIGTERM to %s alone: the worker behind it ends in order, and its job with it',
  async (_name, words) => {
    const app = withCommand()
    const receipt = await app.errand.dispatch(greet, { name: 'ada' })
    const started = app.start([], { program: words })
    const pid = await running(started)
    started.process.kill('SIGTERM')
    const { stderr } = await started.ended
    await eventually(() => expect(isAlive(pid)).toBe(false))
    expect(stderr).toContain('worker stopped')
    expect(await app.job(receipt)).toMatchObject({ state: 'succeeded', result: { text: 'finished' }, run: 1 })
  },
)

test.skipIf(!hasNpm)('a worker whose npm is killed says why it stops', async () => {
  const app = withCommand()
  const receipt = await app.errand.dispatch(greet, { name: 'ada' })
  const started = app.start([], { program: ['npm', 'run', 'work'] })
  await running(started)
  started.process.kill('SIGKILL')
  expect((await started.ended).stderr).toContain('worker stopped: the process that started it has gone')
  expect(await app.job(receipt)).toMatchObject({ state: 'succeeded', result: { text: 'finished' } })
})

test.skipIf(!hasNpm)('with --no-stop-with-parent it goes on as an orphan', async () => {
  const app = withCommand('--no-stop-with-parent')
  const first = await app.errand.dispatch(greet, { name: 'ada' })
  const started = app.start([], { program: ['npm', 'run', 'work'] })
  const pid = await running(started)
  started.process.kill('SIGKILL')
  const second = await app.errand.dispatch(greet, { name: 'bob' })
  await eventually(async () => expect((await app.job(second)).state).toBe('running'), { withinMs: 30_000 })
  process.kill(pid, 'SIGTERM')
  await started.ended
  for (const each of [first, second]) expect(await app.job(each)).toMatchObject({ state: 'succeeded' })
})
