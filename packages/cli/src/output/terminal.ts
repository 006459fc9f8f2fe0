import { ErrandError } from '@errand/core/ports'
import { paintFor } from './paint.ts'
import type { Paint } from './paint.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'

/** Where a command writes: results to stdout, everything else to stderr. */
export interface Terminal {
  /** `--json`: stdout carries JSON and nothing else. */
  readonly json: boolean
  /** Stderr is a terminal: progress and status lines make sense. */
  readonly watched: boolean
  /** A person can be asked. */
  readonly interactive: boolean
  /** Columns of the terminal that stdout is, if it is one. */
  readonly width: number | undefined
  /** Colours for stdout, and for stderr. */
  readonly paint: Paint
  readonly notePaint: Paint
  /** Writes a line of the result. */
  print(line: string): void
  /** Writes a line that is not part of the result. */
  note(line: string): void
  /** Writes the JSON document of a command, or with `line` one line of many. */
  value(value: unknown, as?: 'document' | 'line'): void
  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void
}

export function openTerminal(json: boolean): Terminal {
  const { stdin, stdout, stderr } = process
  const paint = paintFor(stdout)
  const terminal: Terminal = {
    json,
    watched: stderr.isTTY && !json,
    interactive: stdin.isTTY && stderr.isTTY && !json,
    width: stdout.isTTY ? stdout.columns : undefined,
    paint,
    notePaint: paintFor(stderr),
    print: (line) => void stdout.write(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    value: (value, as = 'document') => {
      const json = JSON.stringify(value ?? null, undefined, as === 'document' ? 2 : undefined)
      // JSON allows these control characters and a terminal would obey them. Everybody who may dispatch can write them.
      terminal.print(json.replaceAll(/[\u007f-\u009f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`))
    },
    table: (columns, rows) => {
      const header = (text: string): string => paint('faint', text)
      terminal.print(table(columns, rows, { width: terminal.width, header }).join('\n'))
    },
  }
  return terminal
}

export interface OutputHandlers {
  /**
   * Called when nobody reads stdout any more. A reader that has seen enough (`errand jobs list | head`) is no failure.
   */
  readonly closed: () => void
  /** Called when stdout cannot be written, for example because its disk is full. */
  readonly failed: (error: ErrandError) => void
}

/** Decides what happens to a command that cannot print. An error of stderr is ignored: nobody is left to tell. */
export function onOutputError({ closed, failed }: OutputHandlers): void {
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error')
  process.stderr.on('error', () => {})
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return closed()
    const message = `the output of this command cannot be written (${error.message}); the command itself may have succeeded`
    failed(new ErrandError('E_OUTPUT', message, { cause: error }))
  })
}

/** Text that stdout still buffers must reach a pipe before the process may end. */
export async function flushed(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) =>
        new Promise<void>((resolve) => (stream.destroyed ? resolve() : stream.write('', () => resolve()))),
    ),
  )
}
