import { resolve } from 'node:path'
import { checkOptions, checkParameters, ErrandError, threadModule } from '@errand/core/ports'
import type { LogFactory } from '@errand/core/ports'
import { openSqliteLog } from './log.ts'

export interface SqliteOptions {
  /**
   * Path of the database file, relative to the working directory. A missing file is created, a missing folder is not.
   */
  readonly file: string
}

/**
 * The job log on an SQLite file, for one machine: any number of processes, no server. It needs nothing but Node. The
 * tables begin with `errand_`, so it may be the application's own file, and then `tx` works. Errors: `E_URL` for a URL
 * that names no file, `E_OPTION`; on first use `E_READ_ONLY`, `E_LOG_UNREACHABLE`, `E_LOG_VERSION`.
 * @example createErrand({ log: sqlite('sqlite:./errand.db') })
 */
export function sqlite(options: string | SqliteOptions): LogFactory {
  const file = resolve(checkFile(typeof options === 'string' ? parseFile(options) : fileIn(options)))
  return {
    errand: 'job-log',
    name: 'sqlite',
    open: (context) => openSqliteLog(file, context, { busyTimeoutMs: 0 }),
    heartbeat: {
      module: threadModule('heartbeat', import.meta.url),
      data: { file },
    },
  }
}

function fileIn(options: SqliteOptions): unknown {
  checkOptions('sqlite()', options, ['file'])
  return options.file
}

function checkFile(file: unknown): string {
  // SQLite would end the name at a NUL.
  if (typeof file === 'string' && file !== '' && !file.includes('\0')) return file
  throw new ErrandError('E_OPTION', 'file of sqlite() must be the path of a file, such as ./errand.db')
}

/** `sqlite:./a.db`, `sqlite:/srv/a.db`, `sqlite:///srv/a.db`. */
function parseFile(url: string): string {
  const refuse = (why: string): never => {
    throw new ErrandError('E_URL', `${url} ${why}; write sqlite:./errand.db, or sqlite:///srv/errand.db`)
  }
  const match = /^sqlite:(?:\/\/)?([^?#]*)(?:\?([^#]*))?$/.exec(url)
  if (!match) return refuse('is not a URL of an SQLite file (a # in its name is written %23)')
  const [, path = '', query] = match
  checkParameters('the URL of an SQLite file', query, [])
  if (path === '' || path.endsWith('/')) return refuse('names no file')
  if (path === ':memory:') return refuse('would give each connection a log of its own')
  // A drive of Windows: sqlite:///C:/errand.db.
  return decoded(path, refuse).replace(/^\/(?=[A-Za-z]:)/, '')
}

function decoded(path: string, refuse: (why: string) => never): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return refuse('has a % that is not followed by two hexadecimal digits: write it as %25')
  }
}
