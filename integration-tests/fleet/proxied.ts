import { startFaultProxy } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import type { Finally } from './scene.ts'

/** A proxy in front of a private server, where there is one. */
export async function proxied(
  server: { readonly port: number } | undefined,
  atTheEnd: Finally,
): Promise<FaultProxy | undefined> {
  if (server === undefined) return undefined
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  atTheEnd(() => proxy.close())
  return proxy
}

/** The same server, through the proxy. */
export function rerouted(url: string, port: number | undefined, proxy: FaultProxy | undefined): string {
  return proxy === undefined ? url : url.replace(`:${port}`, `:${proxy.port}`)
}

/** A job log in a schema of its own; statements are given up after three seconds, so that a deaf server is noticed soon. */
export function hastyLog(url: string, schema: string): string {
  const own = new URL(url)
  for (const [key, value] of Object.entries({ schema, poolSize: '4', statementTimeout: '3000' }))
    own.searchParams.set(key, value)
  return own.href
}
