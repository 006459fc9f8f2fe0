import { Option } from 'commander'
import type { Command } from 'commander'
import type { ExitCode } from './exit-codes.ts'
import { exitCodes } from './exit-codes.ts'
import { logUrl, path } from './options/parse.ts'
import { openTerminal } from './output/terminal.ts'
import type { Terminal } from './output/terminal.ts'

export type { Command }

/** Options that every command has. */
export interface GlobalOptions {
  readonly config?: string | undefined
  readonly log?: string | undefined
  readonly driver?: string | undefined
  readonly json?: boolean | undefined
  readonly verbose?: boolean | undefined
}

export interface Invocation {
  readonly terminal: Terminal
  readonly global: GlobalOptions
}

/** What a command does. It returns its exit code; nothing means 0. If it throws, the error's code decides. */
export type Run<Options, Parameters extends readonly unknown[]> = (
  invocation: Invocation,
  options: Options,
  ...parameters: Parameters
) => Promise<ExitCode | void> | ExitCode | void

export function globalOptions(program: Command): Command {
  const group = 'Options of every command:'
  return program
    .addOption(
      new Option('--config <file>', 'errand.config.ts (default: the nearest one, upward)')
        .argParser(path)
        .helpGroup(group),
    )
    .addOption(
      new Option('--log <url>', 'the job log, in place of the configured one')
        .argParser(logUrl)
        .helpGroup(group),
    )
    .addOption(new Option('--driver <url>', 'the driver, in place of the configured one').helpGroup(group))
    .addOption(
      new Option('--json', 'JSON on stdout: one document, or one per line for a stream').helpGroup(group),
    )
    .addOption(new Option('--verbose', 'log everything, and show the stack of an error').helpGroup(group))
}

/** Sets the action of a commander command. `Parameters` are its arguments, in order. */
export function action<Options, Parameters extends readonly unknown[] = []>(
  command: Command,
  run: Run<Options & GlobalOptions, Parameters>,
): Command {
  return command.action(async (...given: unknown[]) => {
    const options = command.optsWithGlobals<Options & GlobalOptions>()
    const terminal = openTerminal(options.json === true)
    // Commander passes the arguments, then the options, then the command.
    const parameters = given.slice(0, -2) as unknown as Parameters
    process.exitCode = (await run({ terminal, global: options }, options, ...parameters)) ?? exitCodes.ok
  })
}
