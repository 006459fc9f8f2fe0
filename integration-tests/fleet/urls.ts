export function withParameters(url: string, parameters: Readonly<Record<string, string>>): string {
  const own = new URL(url)
  for (const [name, value] of Object.entries(parameters)) own.searchParams.set(name, value)
  return own.href
}

/** The schema of a log's URL. */
export function readSchema(url: string): string {
  return new URL(url).searchParams.get('schema') ?? 'errand'
}

/** The same URL for those who know nothing of its parameters. */
export function toServer(url: string): string {
  const server = new URL(url)
  server.search = ''
  return server.href
}

/** Of the queues of a driver's URL; empty if it has none. */
export function readPrefix(driver = 'database:'): string {
  return URL.parse(driver)?.searchParams.get('prefix') ?? ''
}
