import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { checkOutput } from '@errand/testkit'
import { expect, test } from 'vitest'
import { exitCodes } from '../src/exit-codes.ts'
import { table } from '../src/output/table.ts'
import { harmless, measureWidth, truncate } from '../src/output/text.ts'
import { relative, spanText } from '../src/output/times.ts'
import { greet } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import { bin } from './helpers/command.ts'
import { makeProject } from './helpers/project.ts'

test('a table fits the terminal by cutting its flexible columns, the widest first, and nothing in a pipe', () => {
  const columns = [
    { title: 'ID', value: (row: { id: string }) => row.id },
    { title: 'NAME', value: (row: { name: string }) => row.name, flexible: true as const },
  ]
  const rows = [{ id: 'abcdef', name: 'a very long name indeed' }]
  const header = (text: string): string => text
  const narrow = table(columns, rows, { width: 20, header })
  expect(narrow[1]).toBe('abcdef  a very long…')
  expect(table(columns, rows, { width: undefined, header })[1]).toBe('abcdef  a very long name indeed')
})

test('wide characters take two columns, combining ones none, colours none', () => {
  expect(measureWidth('日本')).toBe(4)
  expect(measureWidth('e\u0301')).toBe(1)
  expect(measureWidth('\u001b[31mred\u001b[39m')).toBe(3)
  expect(truncate('日本語です', 6)).toBe('日本…')
})

test('control characters of somebody else reach no terminal', () => {
  expect(harmless('a\u001b[2Jb\nc')).toBe('a\\x1b[2Jb⏎c')
  expect(harmless('line\nline\u0007', 'many')).toBe('line\nline\\x07')
  expect(harmless('\u009b2J \u202egpj.exe\u2069')).toBe('\\x9b2J \\u202egpj.exe\\u2069')
})

test('what somebody has dispatched reaches a terminal as text, in tables, errors and JSON alike', async () => {
  const project = makeApplication()
  const evil = '\u001b]0;owned\u0007\u009b2J\u202egpj'
  const { id } = await project.errand.dispatch(
    greet,
    { name: evil },
    { tags: [evil], meta: { [evil]: evil }, orderingKey: evil },
  )
  await project.errand.jobs.cancel(id, { by: evil, reason: evil })
  const json = await project.run(['jobs', 'show', id, '--json'])
  expect(JSON.stringify(JSON.parse(json.stdout))).toContain(JSON.stringify(evil).slice(1, -1))
  const human = [
    await project.run(['jobs', 'show', id]),
    await project.run(['events']),
    await project.run(['jobs', 'list', '--tag', evil]),
  ]
  for (const { stdout, stderr } of [json, ...human]) expect(stdout + stderr).not.toMatch(/(?!\n)\p{Cc}/u)
  for (const { stdout } of human) expect(stdout).not.toContain('\u202e')
})

test('spans and ages are short', () => {
  expect(spanText(320)).toBe('320 ms')
  expect(spanText(4_200)).toBe('4.2 s')
  expect(spanText(200_000)).toBe('3m 20s')
  expect(spanText(2 * 86_400_000 + 4 * 3_600_000)).toBe('2d 4h')
  expect(relative(0, 180_000)).toBe('3m ago')
  expect(relative(7_200_000, 0)).toBe('in 2h')
})

test('colours are for terminals: none in a pipe, some with FORCE_COLOR, none with NO_COLOR', async () => {
  const project = makeApplication()
  await project.errand.dispatch(greet, { name: 'a' })
  const coloured = async (env: Record<string, string>): Promise<boolean> =>
    (await project.run(['jobs', 'list'], { env })).stdout.includes('\u001b[')
  expect(await coloured({})).toBe(false)
  expect(await coloured({ FORCE_COLOR: '1' })).toBe(true)
  expect(await coloured({ NO_COLOR: '1' })).toBe(false)
})

test('a reader that has seen enough, as in `errand events | head -1`, is no failure', async () => {
  const project = makeApplication()
  // More than a pipe holds.
  await project.errand.dispatchMany(Array.from({ length: 2_000 }, () => greet.with({ name: 'ada' })))
  const script = `{ "${process.execPath}" "${bin}" events --json; echo "code $?" >&2; } | head -1`
  const shell = spawn('sh', ['-c', script], { cwd: project.folder, stdio: ['ignore', 'pipe', 'pipe'] })
  checkOutput(shell)
  let stdout = ''
  let stderr = ''
  shell.stdout.on('data', (text) => (stdout += String(text)))
  shell.stderr.on('data', (text) => (stderr += String(text)))
  await once(shell, 'close')
  expect(stdout).toMatch(/^\{"cursor".*\n$/)
  expect(stderr).toBe('code 0\n')
})

test.each([
  ['an unknown command', ['jbos'], /unknown command 'jbos'.*jobs/s],
  ['an unknown option', ['jobs', 'list', '--stat', 'ready'], /unknown option '--stat'.*--state/s],
  [
    'a state that there is not',
    ['jobs', 'list', '--state', 'done'],
    /Allowed choices are scheduled, blocked/,
  ],
  ['a duration without a unit', ['work', '--max-time', '10x'], /500ms, 30s, 5m, 2h or 7d/],
  ['a missing argument', ['jobs', 'show'], /missing required argument 'id'/],
  [
    'both --at and --delay',
    ['dispatch', 'greet', '--at', '2030-01-01', '--delay', '1s'],
    /--delay.*cannot be used with.*--at/,
  ],
])('%s is exit 2, with a hint', async (_what, words, message) => {
  const ran = await makeProject().command(...words)
  expect(ran).toMatchObject({ code: 2, stdout: '' })
  expect(ran.stderr).toContain('E_OPTION')
  expect(ran.stderr).toMatch(message)
})

test('with --json an error is JSON on stderr; with --verbose it has its stack', async () => {
  const project = makeProject()
  const ran = await project.command('jobs', 'list', '--json')
  expect(JSON.parse(ran.stderr)).toMatchObject({ error: { code: 'E_CONFIG' } })
  expect(JSON.parse((await project.command('jobs', 'lits', '--json')).stderr)).toMatchObject({
    error: { code: 'E_OPTION' },
  })
  expect((await project.command('jobs', 'list', '--verbose')).stderr).toMatch(
    /E_CONFIG[\s\S]*at .*project\.ts/,
  )
  expect((await project.command('jobs', 'list')).stderr).not.toContain('project.ts')
})

test('help names every command, and is no error', async () => {
  const project = makeProject()
  const ran = await project.command('--help')
  expect(ran).toMatchObject({ code: 0, stderr: '' })
  for (const name of [
    'init',
    'work',
    'dispatch',
    'run',
    'jobs',
    'events',
    'queues',
    'schedules',
    'limits',
    'workers',
    'keys',
    'migrate',
    'prune',
    'doctor',
  ]) {
    expect(ran.stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'))
  }
  expect(await project.command('work', '--help')).toMatchObject({ code: 0 })
})

test('docs/cli.md has every exit code', () => {
  const docs = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8')
  const told = [...docs.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))
  expect(told).toEqual(Object.values(exitCodes))
})
