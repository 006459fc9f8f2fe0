import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { bin, start } from './helpers/command.ts'

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly engines: { readonly node: string }
}

/** Makes Node report another version. */
function asNode(version: string): readonly string[] {
  const source = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
  return [process.execPath, '--import', `data:text/javascript,${encodeURIComponent(source)}`, bin]
}

test.each(['20.20.2', '22.17.1'])('on Node %s the command says which Node it needs, exit 5', async (old) => {
  const { code, stderr } = await start(['--help'], { cwd: tmpdir(), program: asNode(old) }).ended
  expect({ code, stderr }).toEqual({
    code: 5,
    stderr: `errand needs Node ${manifest.engines.node.slice(2)} or later, and this is ${old}\n`,
  })
})

test.each(['22.18.0', '25.0.0'])('on Node %s it runs', async (version) => {
  const { code, stdout } = await start(['--help'], { cwd: tmpdir(), program: asNode(version) }).ended
  expect(code).toBe(0)
  expect(stdout).toContain('Usage: errand')
})
