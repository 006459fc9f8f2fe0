import { ErrandError } from '../errors.ts'

/** What a URL of the configuration opens. */
export type Kind = 'log' | 'driver'

/**
 * The scheme of a URL in lower case: `postgres` of `postgres://host/db`. A driver may be a single word that is no URL:
 * `database`.
 * @throws `E_URL`, which does not show the text: it may be a password.
 */
export function parseScheme(url: string, kind: Kind): string {
  const scheme = /^([a-z][a-z0-9+.-]*):./i.exec(url)?.[1] ?? (kind === 'driver' ? word(url) : undefined)
  if (scheme !== undefined) return scheme.toLowerCase()
  const example =
    kind === 'log' ? 'postgres://host/database or sqlite:./errand.db' : "amqp://host or 'database'"
  throw new ErrandError('E_URL', `${kind} is a text that is not a URL; use one such as ${example}`)
}

function word(url: string): string | undefined {
  return url === 'database' ? url : undefined
}
