import type { DatabaseSync } from 'node:sqlite'
import { ErrandError } from '@errand/core/ports'
import { explain, isBusy } from './connection.ts'
import type { FileIdentity } from './identity.ts'

/** How long a transaction may wait for the file's lock before it fails. */
const lockDeadlineMs = 15_000
/** After this time a transaction takes no more work: others wait for the file, and so does the event loop. */
const longEnoughMs = 20
/**
 * Reads answer at once, and a loop of reads would let no timer run. After this time, a read waits for the event loop.
 */
const turnMs = 10

interface Write {
  /** Does the work, and remembers how it ended. */
  readonly work: () => void
  /** Answers its caller, once its writes are on disk. */
  readonly settle: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Runs transactions on one connection, one after another. Writes that wait at the same moment share a transaction, each
 * in its own savepoint, because the disk is the cost and they pay it once. It waits for another process's lock off the
 * event loop, in steps of 1 to 5 ms. SQLite's own waiting blocks the loop, and is so unfair that one process of four
 * did four fifths of the work.
 */
export class Transactor {
  readonly #database: DatabaseSync
  readonly #file: string
  readonly #identity: Pick<FileIdentity, 'check'>
  #writes: Write[] = []
  /** A transaction for the waiting writes is queued already. */
  #gathering = false
  #last: Promise<unknown> = Promise.resolve()
  #closed = false
  /** When the first read began in this turn of the event loop. */
  #turnSinceMs: number | undefined

  constructor(database: DatabaseSync, file: string, identity: Pick<FileIdentity, 'check'>) {
    this.#database = database
    this.#file = file
    this.#identity = identity
  }

  /** Whether a transaction will write soon anyway: one more write then costs almost nothing. */
  get isGathering(): boolean {
    return this.#writes.length > 0
  }

  write<T>(work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settle: () => void
      this.#writes.push({
        work: () => {
          const result = work()
          settle = () => resolve(result)
        },
        settle: () => settle(),
        reject,
      })
      this.#gather()
    })
  }

  read<T>(work: () => T): Promise<T> {
    return this.#queue(async () => {
      if (this.#hasKeptTheLoop()) await nextTurn()
      return this.#run('begin', work)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.retire()
  }

  /** Closes the connection after everything that was handed over has run. */
  async retire(): Promise<void> {
    for (let last: unknown; last !== this.#last;) {
      last = this.#last
      await last
    }
    this.#database.close()
  }

  #hasKeptTheLoop(): boolean {
    if (this.#turnSinceMs !== undefined) return performance.now() - this.#turnSinceMs > turnMs
    this.#turnSinceMs = performance.now()
    setImmediate(() => (this.#turnSinceMs = undefined))
    return false
  }

  #queue<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run)
    this.#last = turn.catch(() => undefined)
    return turn
  }

  #gather(): void {
    if (this.#gathering || this.#writes.length === 0) return
    this.#gathering = true
    void this.#queue(() => this.#gathered())
  }

  /** One transaction for the writes that wait at the end of this turn of the event loop. */
  async #gathered(): Promise<void> {
    await nextTurn()
    let taken: Write[] = []
    const refused = new Map<Write, unknown>()
    try {
      await this.#run('begin immediate', () => {
        // Starts over if the commit did not succeed.
        this.#writes.unshift(...taken)
        taken = []
        refused.clear()
        const untilMs = performance.now() + longEnoughMs
        do {
          const write = this.#writes.shift()
          if (!write) return
          taken.push(write)
          this.#try(write, refused)
        } while (performance.now() < untilMs)
      })
      // Checked once for all of them, after the commit: an answered write must be in the file that the path leads to.
      this.#identity.check()
      for (const write of taken) {
        if (refused.has(write)) write.reject(explain(refused.get(write), this.#file))
        else write.settle()
      }
    } catch (error) {
      // No write is on disk. Writes that were not taken up could not begin either.
      for (const write of [...taken, ...this.#writes.splice(0)]) write.reject(error)
    } finally {
      this.#gathering = false
      this.#gather()
    }
  }

  #try(write: Write, refused: Map<Write, unknown>): void {
    try {
      this.#once('savepoint errand_write', write.work, 'release errand_write', rollBackToSavepoint)
    } catch (error) {
      // A full disk, for example, rolls back the whole transaction with the writes of all others.
      if (!this.#database.isTransaction) throw error
      refused.set(write, error)
    }
  }

  async #run<T>(begin: string, work: () => T): Promise<T> {
    const startedMs = performance.now()
    for (;;) {
      if (this.#closed) throw new ErrandError('E_CLOSED', 'this job log has been closed')
      try {
        return this.#once(begin, work, 'commit', 'rollback')
      } catch (error) {
        if (!isBusy(error)) throw explain(error, this.#file)
        if (performance.now() - startedMs > lockDeadlineMs) {
          throw new ErrandError(
            'E_LOG_UNREACHABLE',
            `${this.#file} has been locked by another process for ${lockDeadlineMs / 1_000} s; look for a long write transaction`,
            { cause: error, undone: true },
          )
        }
        await pause()
      }
    }
  }

  #once<T>(begin: string, work: () => T, end: string, undo: string): T {
    this.#database.exec(begin)
    try {
      const result = work()
      this.#database.exec(end)
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec(undo)
      throw error
    }
  }
}

const rollBackToSavepoint = 'rollback to errand_write; release errand_write'

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Real time even under a virtual clock: the lock belongs to the machine. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 4))
}
