import { ErrandError } from '../errors.ts'

const parts = /^([a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/is

/**
 * Splits a URL with several hosts into one URL for each host, in their order: `amqp://a,b:5673/v` becomes `amqp://a/v` and
 * `amqp://b:5673/v`. Everything else is the same in all of them. A URL with one host, or none, stays as it is.
 * @throws `E_URL` if a comma has no host beside it
 */
export function eachHost(url: string): readonly string[] {
  const [, before = '', hosts = '', after = ''] = parts.exec(url) ?? []
  if (!hosts.includes(',')) return [url]
  return hosts.split(',').map((host) => {
    if (host.trim() !== '') return `${before}${host}${after}`
    throw new ErrandError(
      'E_URL',
      'a URL lists several hosts, and one of them is empty; write a,b with one comma between',
    )
  })
}
