import { statSync } from 'node:fs'
import { ErrandError } from '@errand/core/ports'

/**
 * Which file a path leads to. A file that was deleted or replaced lives on for those who have it open: they would go on
 * writing, and be answered, into a file that nobody will ever open again.
 */
export class FileIdentity {
  readonly #file: string
  readonly #opened: string | undefined

  /** To be made right after the file was opened. */
  constructor(file: string) {
    this.#file = file
    this.#opened = readIdentity(file)
  }

  /** @throws `E_LOG_REPLACED` when the path leads elsewhere by now. A few microseconds. */
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
