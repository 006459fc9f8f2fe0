import { isErrandError } from '@errand/core/ports'
import type { Database } from './database.ts'

/** Where the rows of jobs are read: `name` goes to the name of the statement, `selectRows` to its text. */
export interface Source {
  readonly name: string
  /**
   * Those of several jobs, each table read once for all of them.
   * @param ids SQL of an array of ids
   */
  selectRows(table: keyof typeof idColumns, ids: string): string
}

const idColumns = { known: 'id', live: 'id', progress: 'job_id', flows: 'id' } as const

/**
 * Reads about one job. A dispatcher's role may not read the tables, where everybody's payloads lie; it has functions
 * instead that give the rows of one job, for those who know its id (see `roles`). Which of the two it is shows the first
 * refusal.
 */
export class OneJob {
  readonly tables: Source
  readonly #functions: Source
  #refused = false

  constructor({ schema }: Database) {
    this.tables = {
      name: '',
      selectRows: (table, ids) =>
        `(select * from ${schema}.${table} t where t.${idColumns[table]} = any (${ids}))`,
    }
    this.#functions = {
      name: '_granted',
      selectRows: (table, ids) =>
        `(select t.* from unnest(${ids}) u (id) cross join lateral ${schema}.granted_${table}(u.id) t)`,
    }
  }

  async read<T>(ask: (source: Source) => Promise<T>): Promise<T> {
    if (this.#refused) return ask(this.#functions)
    try {
      return await ask(this.tables)
    } catch (error) {
      if (!isErrandError(error, 'E_RIGHTS')) throw error
      try {
        const answer = await ask(this.#functions)
        this.#refused = true
        return answer
      } catch (again) {
        // No such functions, or no right to them: what was refused first says more.
        throw isErrandError(again, 'E_LOG_VERSION') || isErrandError(again, 'E_RIGHTS') ? error : again
      }
    }
  }
}
