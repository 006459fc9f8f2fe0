import type { Config, Errand } from '@errand/core'
import type { Logger } from '@errand/core/ports'
import type { GlobalOptions } from '../command.ts'
import { humanLogger } from '../output/logger.ts'
import type { Terminal } from '../output/terminal.ts'
import { loadProject } from './project.ts'
import type { Project } from './project.ts'

/** An instance for a command, and the project that it belongs to. */
export interface Opened {
  readonly errand: Errand
  readonly project: Project
}

/**
 * Runs `use` with an instance for operators, and closes it. Its log lines go to stderr: warnings, or all with
 * `--verbose`.
 * @param createLog creates a missing job log. Default false: a command that only reads, with a mistyped path, must
 * leave no file.
 */
export async function withErrand<T>(
  terminal: Terminal,
  global: GlobalOptions,
  use: (opened: Opened) => Promise<T>,
  { createLog = false }: { readonly createLog?: boolean } = {},
): Promise<T> {
  const project = await loadProject(global)
  // Not the project's own logger: it may write to stdout, which is for the command's result.
  const config: Config = createLog ? project.config : { ...project.config, createLog }
  const errand = await openErrand({ ...project, config }, operatorLogger(terminal, global))
  try {
    return await use({ errand, project })
  } finally {
    await errand.close()
  }
}

/** Core is loaded late, because modules of `--import` that instrument it must be loaded first. */
export async function openErrand(project: Project, logger: Logger | undefined): Promise<Errand> {
  const { createErrand } = await import('@errand/core')
  return createErrand({ ...project.config, ...(logger === undefined ? {} : { logger }) })
}

function operatorLogger(terminal: Terminal, global: GlobalOptions): Logger {
  return humanLogger(global.verbose ? 'debug' : 'warn', (line) => terminal.note(line))
}
