import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as core from '@errand/core'
import * as coreTesting from '@errand/core/testing'
import * as errand from 'errand'
import * as testing from 'errand/testing'
import { expect, test } from 'vitest'

test('the one package is core, for applications and for their tests', () => {
  expect(Object.keys(errand)).toEqual(Object.keys(core))
  expect(errand.createErrand).toBe(core.createErrand)
  expect(Object.keys(testing)).toEqual(Object.keys(coreTesting))
})

test('it brings the command', async () => {
  const bin = fileURLToPath(new URL('../src/bin.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [bin, '--help'])
  expect(stdout).toContain('Usage: errand')
})
