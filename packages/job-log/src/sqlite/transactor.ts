import type { DatabaseSync } from 'node:sqlite'
import { ErrandError } from '@errand/core/ports'
import { explain, isBusy } from './connection.ts'

/** How long a transaction may wait for the file's lock before its caller is told. */
const lockDeadlineMs = 15_000

/**
 * Runs transactions on one connection, one after another. The wait for another process's lock happens out here, off the
 * event loop, in steps of 1 to 5 ms: SQLite's own waiting blocks the loop, and is so unfair that one process of four
 * took four fifths of the work.
 */
export class Transactor {
  readonly #database: DatabaseSync
  readonly #file: string
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(database: DatabaseSync, file: string) {
    this.#database = database
    this.#file = file
  }

  write<T>(work: () => T): Promise<T> {
    return this.#queue('begin immediate', work)
  }

  read<T>(work: () => T): Promise<T> {
    return this.#queue('begin', work)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#last
    this.#database.close()
  }

  #queue<T>(begin: string, work: () => T): Promise<T> {
    const turn = this.#last.then(() => this.#run(begin, work))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #run<T>(begin: string, work: () => T): Promise<T> {
    const startedMs = performance.now()
    for (;;) {
      if (this.#closed) throw new ErrandError('E_CLOSED', 'this job log has been closed')
      try {
        return this.#once(begin, work)
      } catch (error) {
        if (!isBusy(error)) throw explain(error, this.#file)
        if (performance.now() - startedMs > lockDeadlineMs) {
          throw new ErrandError(
            'E_LOG_UNREACHABLE',
            `${this.#file} has been locked by another process for ${lockDeadlineMs / 1_000} s; look for a long write transaction`,
            { cause: error },
          )
        }
        await pause()
      }
    }
  }

  #once<T>(begin: string, work: () => T): T {
    this.#database.exec(begin)
    try {
      const result = work()
      this.#database.exec('commit')
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('rollback')
      throw error
    }
  }
}

/** Real time even under a virtual clock: the lock belongs to the machine. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 4))
}
