import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

test.each([
  ['guarantees.md', 30],
  ['security.md', 20],
])('every test that %s names exists', (name, least) => {
  const page = readFileSync(join(root, 'docs', name), 'utf8')
  const named = [...page.matchAll(/^- `(.+)`$/gm)].map((match) => match[1] ?? '')
  const files = globSync(
    ['packages/*/test/**/*.ts', 'packages/testkit/src/**/*.ts', 'integration-tests/**/*.ts'],
    {
      cwd: root,
      exclude: (path) => path.includes('node_modules'),
    },
  )
  const sources = files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n')

  expect(named.length).toBeGreaterThan(least)
  expect(named.filter((name) => !sources.includes(name))).toEqual([])
})

test('no title of a test is longer than 100 characters', () => {
  const files = globSync(['{packages,examples,bench,scripts,integration-tests}/**/*.ts'], {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  })
  const titles = files.flatMap((file) => titlesIn(readFileSync(join(root, file), 'utf8')))

  expect(titles.length).toBeGreaterThan(1000)
  expect(titles.filter((title) => title.length > 100)).toEqual([])
})

/** The texts that stand between `test(`, `it(`, `describe(` or a chained `.each(…)(` and the test's function or options. */
function titlesIn(source: string): string[] {
  const call = /(?:\b(?:test|it|describe)|\))\(\s*/
  const title = /(?:(['"])(?<quoted>(?:(?!\1)[^\\\n]|\\.)+)\1|`(?<template>(?:[^`\\]|\\.)+)`)/
  const rest = /\s*,\s*(?:async\b|\(|\{|function|\w+\))/
  const pattern = new RegExp(call.source + title.source + rest.source, 'g')
  return [...source.matchAll(pattern)].map(({ groups }) => groups?.quoted ?? groups?.template ?? '')
}

test('every link of the documentation leads somewhere', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: root })]
  const broken = pages.flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8')
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1] ?? '')
    return links
      .filter((link) => globSync(join(dirname(join(root, page)), link)).length === 0)
      .map((link) => `${page}: ${link}`)
  })
  expect(broken).toEqual([])
})

test('the pages that are made from code say what the code says', () => {
  execFileSync(process.execPath, [join(root, 'scripts', 'reference.ts'), '--check'], { stdio: 'pipe' })
})
