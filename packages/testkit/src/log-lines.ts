import type { ChildProcess } from 'node:child_process'

/**
 * Refuses log lines that are no strict JSON, or that have a key twice: readers of logs keep either value, or refuse the
 * line. Of what a process has printed only complete lines count that begin as pino's do.
 * @throws with the line.
 */
export function checkLogLines(printed: string): void {
  for (const line of printed.split('\n').slice(0, -1)) {
    if (!line.startsWith('{"level":')) continue
    // A parsed object has each key once: written again, a line with a key twice is shorter.
    const again = JSON.stringify(JSON.parse(line) as unknown)
    if (again.length !== line.length) throw new Error(`a log line has a key twice: ${line}`)
  }
}

/**
 * Checks the log lines of a process as it prints them, where its output is a pipe. A line that is refused fails the run,
 * whatever its test looks at.
 */
export function checkOutput({ stdout, stderr }: Pick<ChildProcess, 'stdout' | 'stderr'>): void {
  for (const stream of [stdout, stderr]) {
    let rest = ''
    stream?.on('data', (chunk: Buffer | string) => {
      const text = rest + chunk.toString()
      const end = text.lastIndexOf('\n') + 1
      rest = text.slice(end)
      checkLogLines(text.slice(0, end))
    })
  }
}
