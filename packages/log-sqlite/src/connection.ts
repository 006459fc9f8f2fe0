import { accessSync, constants, existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DamagedRow, ErrandError, isErrandError } from '@errand/core/ports'

// SQLite's result codes, https://www.sqlite.org/rescode.html. An extended code has the primary one in its low byte.
const busy = 5
const locked = 6
const readOnly = 8
const ioError = 10
const full = 13
const cantOpen = 14
const notADatabase = 26
const tooBig = 18
const constraint = 19
const mismatch = 20

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined
}

export function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code === busy || code === locked
}

/** True for an error of `explain` that comes from the disk. */
export function isDiskFailure(error: unknown): boolean {
  return error instanceof Error && resultCode(error.cause) === ioError
}

/**
 * Refuses a file that this process may not write. SQLite would open it for reading, keep it so for the whole
 * connection, and leave a file beside it that nobody may write either.
 * @throws `E_READ_ONLY`
 */
export function checkWritable(file: string): void {
  if (!existsSync(file)) return
  try {
    accessSync(file, constants.W_OK)
  } catch (error) {
    throw notWritable(file, error)
  }
}

function notWritable(file: string, cause: unknown): ErrandError {
  return new ErrandError(
    'E_READ_ONLY',
    `${file} cannot be written; give this process write access to the file and its folder, or set ERRAND_LOG to another path`,
    { cause },
  )
}

/** True if the data of a row causes the error: repeating the statement does not help. */
export function isRefusedData(error: unknown): boolean {
  const code = resultCode(error)
  return code === undefined || code === tooBig || code === constraint || code === mismatch
}

/** Turns an error of SQLite into one that says what to do. */
export function explain(error: unknown, file: string): ErrandError | DamagedRow {
  if (isErrandError(error) || error instanceof DamagedRow) return error
  const details = { cause: error }
  const text = error instanceof Error ? error.message : String(error)
  switch (resultCode(error) ?? 0) {
    case readOnly:
      return notWritable(file, error)
    case cantOpen:
      return existsSync(dirname(file))
        ? new ErrandError(
            'E_READ_ONLY',
            `${file} cannot be opened or created (${text}); give this process write access to ${dirname(file)}, or set ERRAND_LOG to another path`,
            details,
          )
        : new ErrandError(
            'E_LOG_UNREACHABLE',
            `the folder ${dirname(file)} does not exist; make it, or set ERRAND_LOG to another path`,
            details,
          )
    case full:
      return new ErrandError(
        'E_LOG',
        `there is no room on the disk for ${file}, and nothing was stored (${text}); make room, and work goes on`,
        details,
      )
    case ioError:
      return new ErrandError(
        'E_LOG',
        `the disk of ${file} failed (${text}); look at the system's log, and whether the disk is mounted for writing`,
        details,
      )
    case notADatabase:
      return new ErrandError(
        'E_LOG',
        `${file} is not an SQLite database; set ERRAND_LOG to another path`,
        details,
      )
    default:
      return new ErrandError('E_LOG', `the job log ${file} failed: ${text}`, details)
  }
}

/**
 * Opens the file for writing. `busyTimeoutMs` is 0 on a main thread, because SQLite waits for its lock inside the
 * thread and blocks the event loop. Only the heartbeat's thread may wait.
 */
export function openDatabase(file: string, busyTimeoutMs: number): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: busyTimeoutMs })
  try {
    // FULL: an answered commit is on the disk. WAL with NORMAL may lose the last commits in a power failure.
    database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = off')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}
