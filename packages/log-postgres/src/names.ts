import { ErrandError } from '@errand/core/ports'

const schemaName = /^[a-z_][a-z0-9_]{0,62}$/

/** The schema's name, quoted, so that it can stand in SQL. @throws `E_OPTION` */
export function quoteSchema(schema: string): string {
  if (typeof schema !== 'string' || !schemaName.test(schema)) {
    throw new ErrandError(
      'E_OPTION',
      `${JSON.stringify(schema)} is not a schema for the job log; use 1 to 63 lower-case letters, digits and _, beginning with a letter or _`,
    )
  }
  if (schema === 'public') {
    throw new ErrandError(
      'E_OPTION',
      'schema public is shared with everybody, and a job log needs one for itself; leave the option schema out (it is errand then), or name another one. ?schema=public in the URL belongs to an ORM',
    )
  }
  return `"${schema}"`
}
