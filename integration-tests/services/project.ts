import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { TestProjectInlineConfiguration } from 'vitest/config'
import { processOptions } from './process-options.ts'

const servers = new URL('setup.ts', import.meta.url).pathname
const logLines = new URL('log-lines.ts', import.meta.url).pathname

/** Most tests wait for servers and processes: four files side by side, where Vitest would give two cores one. */
export const filesAtOnce: number = Math.max(4, availableParallelism() - 1)

export interface TestProject {
  /** As in `pnpm vitest run --project NAME`. */
  readonly name: string
  /** The folder of the tests: `import.meta.dirname`. */
  readonly folder: string
  /** False for tests that need no server: then a run of this project starts none. */
  readonly servers: boolean
  /** Tests of one file that run side by side, if they say that they may. Default 5. */
  readonly maxConcurrency?: number
  /** Its files run in processes that they share, so that each need not load everything anew. Default false. */
  readonly together?: boolean
  /** A part of the tests in the folder; or all but a part. Default all. */
  readonly include?: string
  readonly exclude?: string
}

/** The options of vitest that all projects share. */
export function testProject(project: TestProject): TestProjectInlineConfiguration {
  const { name, folder, maxConcurrency = 5, include = '**/*.test.ts', exclude } = project
  const typeTests = '**/*.test-d.ts'
  return {
    root: folder,
    test: {
      name,
      include: [include],
      ...processOptions,
      isolate: !project.together,
      maxWorkers: filesAtOnce,
      exclude: ['**/node_modules/**', ...(exclude === undefined ? [] : [exclude])],
      setupFiles: [logLines],
      globalSetup: project.servers ? [servers] : [],
      maxConcurrency,
      // Waits in tests have limits of their own, which scale with the machine. These only end tests that hang.
      testTimeout: 600_000,
      hookTimeout: 600_000,
      typecheck: {
        enabled: globSync(typeTests, { cwd: folder }).length > 0,
        include: [typeTests],
        tsconfig: 'tsconfig.json',
      },
    },
  }
}
