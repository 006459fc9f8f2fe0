/**
 * Writes what is derived from code: docs/errors.md, docs/states.md, the rights in docs/security.md, and in the package.json of
 * `errand` which package opens the URLs of a scheme. `--check` only compares.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCodes, eventTypes, releaseReasons, transitions } from '../packages/core/src/ports.ts'
import type { JobState } from '../packages/core/src/ports.ts'
import { makeGrants, makeScript } from '../packages/log-postgres/src/roles.ts'
import { listPackages, root } from './workspace.ts'

function errorsPage(): string {
  const rows = Object.entries(errorCodes).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`)
  return `# Errors

Made from \`packages/core/src/errors.ts\` by \`pnpm reference\`.

| code | meaning |
|---|---|
${rows.join('\n')}
`
}

function statesPage(): string {
  const list = (states: readonly JobState[] | 'same'): string =>
    states === 'same' ? 'no change' : states.map((state) => `\`${state}\``).join(', ')
  const rows = eventTypes.map((type) => {
    const { from, to, interim } = transitions[type]
    return `| \`${type}\` | ${from.length === 0 ? '–' : list(from)} | ${list(to)}${interim ? ' (while `running`, `failed` or `cancelled` follows at once)' : ''} |`
  })
  const reasons = Object.entries(releaseReasons).map(([why, meaning]) => `| \`${why}\` | ${meaning} |`)
  return `# States and events

Made from \`packages/core/src/job/state.ts\` by \`pnpm reference\`. A state never changes without its event: both are written in
one transaction.

| event | from | to |
|---|---|---|
${rows.join('\n')}

## What a job waits for

A job passes its gates in this order, and \`ready\` is behind the last one: its time (\`scheduled\`), what it needs (\`blocked\`), its
ordering key (\`blocked\`), its limit (\`blocked\`). A job with a limit always waits there first, so it has an \`unblocked\` event also where there is room. \`errand jobs show\` says what
a job waits for.

A \`suspended\` job has begun, and its handler [waits](work-of-many-parts.md#when-a-run-suspends) for a time, a message or a call. When it is
resumed it holds its key already, and passes only its limit again.

## Why a run was given back

A \`released\` event says it as its \`why\`, and so does the worker's log.

| why | meaning |
|---|---|
${reasons.join('\n')}
`
}

/** The page as it is, with what `errand roles` prints today. */
function securityPage(): string {
  const page = readFileSync(join(root, 'docs/security.md'), 'utf8')
  const script = makeScript(
    '"errand"',
    makeGrants('"errand"', {
      dispatcher: 'errand_dispatcher',
      worker: 'errand_worker',
      operator: 'errand_operator',
    }),
  )
  const begin = page.indexOf('-- The rights of roles on the job log')
  return page.slice(0, begin) + script + page.slice(page.indexOf('```', begin))
}

/** The package.json of `errand` as it is, with the schemes that the packages declare: errors name the package to add. */
function errandManifest(): string {
  const manifest = JSON.parse(readFileSync(join(root, 'packages/errand/package.json'), 'utf8')) as object
  const schemes = (kind: 'log' | 'driver'): object =>
    Object.fromEntries(
      listPackages().flatMap(({ name, opens }) => (opens[kind] ?? []).map((scheme) => [scheme, name])),
    )
  const errand = { packages: { log: schemes('log'), driver: schemes('driver') } }
  return `${JSON.stringify({ ...manifest, errand }, undefined, 2)}\n`
}

const files = {
  'docs/errors.md': errorsPage(),
  'docs/states.md': statesPage(),
  'docs/security.md': securityPage(),
  'packages/errand/package.json': errandManifest(),
}
for (const [name, text] of Object.entries(files)) {
  const file = join(root, name)
  if (!process.argv.includes('--check')) writeFileSync(file, text)
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`${name} is not what the code says: run pnpm reference`)
    process.exitCode = 1
  }
}
