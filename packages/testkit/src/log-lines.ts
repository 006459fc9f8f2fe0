import type { ChildProcess } from 'node:child_process'

/**
 * Refuses log lines that are no strict JSON, or that have a key twice: readers of logs keep one of the values, or refuse the
 * line. It checks only complete lines that begin like pino's.
 * @throws with the line.
 */
export function checkLogLines(printed: string): void {
  for (const line of printed.split('\n').slice(0, -1)) {
    if (!line.startsWith('{"level":')) continue
    // A parsed object has each key once. So if a line has a key twice, its object is shorter when written again.
    const again = JSON.stringify(JSON.parse(line) as unknown)
    if (again.length !== line.length) throw new Error(`a log line has a key twice: ${line}`)
  }
}

/**
 * Checks the log lines of a process while it prints them, if its output is a pipe. A refused line fails the run, whatever the
 * test itself checks.
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
