import { statSync } from 'node:fs'
import { ErrandError } from '@errand/core/ports'

/**
 * Which file a path leads to. A deleted or replaced file lives on for processes that have it open. Their writes would
 * succeed, in a file that nobody will ever open again.
 */
export class FileIdentity {
  readonly #file: string
  readonly #opened: string | undefined

  /** Make it right after the file was opened. */
  constructor(file: string) {
    this.#file = file
    this.#opened = readIdentity(file)
  }

  /**
   * Takes a few microseconds.
   * @throws `E_LOG_REPLACED` if the path now leads to another file.
   */
  check(): void {
    const now = readIdentity(this.#file)
    if (now === this.#opened) return
    const what = now === undefined ? 'was deleted' : 'was replaced by another file'
    throw new ErrandError(
      'E_LOG_REPLACED',
      `the job log ${this.#file} ${what} while this process used it, so what it writes is lost; put the file back or restore a backup while nothing runs, then start this process again`,
    )
  }
}

function readIdentity(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev}:${stat.ino}`
}
