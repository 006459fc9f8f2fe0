import { createRequire } from 'node:module'

interface Pg {
  readonly Client: { readonly prototype: object }
}

/** The prototypes of pg's clients: of the peers' copy, and of the job log's own. */
export function pgClients(): ReadonlySet<object> {
  const jobLog = createRequire(import.meta.url).resolve('@errand/log-postgres')
  const copies = [import.meta.url, jobLog].map((from) => createRequire(from)('pg') as Pg)
  return new Set(copies.map(({ Client }) => Client.prototype))
}

/** Puts a function in front of a method, which is given the call to make. */
export function intercept(
  prototype: object,
  method: string,
  instead: (call: () => unknown, given: readonly unknown[], self: unknown) => unknown,
): void {
  const original = Reflect.get(prototype, method) as (...given: unknown[]) => unknown
  Object.defineProperty(prototype, method, {
    configurable: true,
    writable: true,
    value(this: unknown, ...given: unknown[]): unknown {
      return instead(() => original.apply(this, given), given, this)
    },
  })
}

const shown = 72

/** What a call of pg's `Client.query` is called: its plan's name, or its text. */
export function statementText(query: unknown): string {
  const { name, text } = (typeof query === 'string' ? { text: query } : query) as {
    readonly name?: string
    readonly text?: string
  }
  return name ?? text ?? '?'
}

export function shortened(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, shown)
}
