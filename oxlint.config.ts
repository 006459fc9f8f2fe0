import { defineConfig } from 'oxlint'
import type { OxlintOverride } from 'oxlint'
import { listPackages } from './scripts/workspace.ts'
import type { WorkspacePackage } from './scripts/workspace.ts'

/** What the foundation of core must not import. */
const above = {
  regex: '/(?:worker|dispatch|relay|operate)/',
  message: 'ports, job and retry are the foundation of core: they import nothing that is built on them.',
}

/** A package imports its own files, `node:` and what its package.json names. The patterns are those of .gitignore files. */
function onlyDependencies({ name, imports }: WorkspacePackage): { group: string[]; message: string } {
  const scopes = imports.filter((each) => each.startsWith('@')).map((each) => each.split('/', 1)[0])
  const names = imports.flatMap((each) => [each, `${each}/**`])
  const allowed = ['./**', '../**', 'node:*', 'node:*/**', ...new Set(scopes), ...names]
  return {
    group: ['*', ...allowed.map((each) => `!${each}`)],
    message: `${name} imports only what its package.json has as dependencies.`,
  }
}

/** What the room of the runs must not import: jobs are brought to it, and leases are held around it. */
const aroundRuns = {
  regex: '^\\.\\./(?:intake|lease)/',
  message: 'worker/run imports nothing of intake and lease: it says by an interface what it needs of them.',
}

function restrictImports(files: string[], ...patterns: object[]): OxlintOverride {
  return { files, rules: { 'no-restricted-imports': ['error', { patterns }] } }
}

const packages = listPackages()

export default defineConfig({
  plugins: ['typescript', 'import', 'unicorn', 'oxc', 'promise', 'node'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['**/dist/**', '**/node_modules/**'],
  rules: {
    'import/no-cycle': 'error',
    'no-console': 'off',
    'no-shadow': 'off',
    'no-underscore-dangle': 'off',
    'import/no-unassigned-import': 'off',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    'typescript/return-await': ['error', 'in-try-catch'],
    'typescript/switch-exhaustiveness-check': 'error',
    'typescript/only-throw-error': 'error',
    'typescript/prefer-promise-reject-errors': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-explicit-any': 'error',
    'unicorn/require-module-specifiers': 'off',
    'unicorn/consistent-function-scoping': 'off',
    'typescript/no-unsafe-type-assertion': 'off',
  },
  overrides: [
    { files: ['packages/*/src/**'], rules: { 'no-console': 'error' } },
    { files: ['packages/cli/src/**'], rules: { 'no-console': 'off' } },
    ...packages.map((each) => restrictImports([`${each.folder}/src/**`], onlyDependencies(each))),
    ...packages
      .filter(({ name }) => name === '@errand/core')
      .flatMap((core) => [
        restrictImports(
          [`${core.folder}/src/{ports,job,retry}/**`, `${core.folder}/src/ports.ts`],
          above,
          onlyDependencies(core),
        ),
        restrictImports([`${core.folder}/src/worker/run/**`], aroundRuns, onlyDependencies(core)),
      ]),
    { files: ['bench/**'], rules: { 'typescript/no-redundant-type-constituents': 'off' } },
    { files: ['**/test/**', 'integration-tests/**'], rules: { 'typescript/no-explicit-any': 'off' } },
  ],
})
