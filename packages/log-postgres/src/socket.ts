import type { Client, PoolClient } from 'pg'

interface Socket {
  ref?(): void
  unref?(): void
  destroy(): void
}

/** The socket of a connection: pg has no calls for what is done with it here. */
function getSocket(client: Client | PoolClient): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream
}

/** Whether an idle connection keeps a process alive. */
export function keepAlive(client: Client | PoolClient, alive: boolean): void {
  const socket = getSocket(client)
  if (alive) socket.ref?.()
  else socket.unref?.()
}

/** Ends a connection at once: an orderly end of a pipelined connection would wait for its statements. */
export function hangUp(client: Client | PoolClient): void {
  getSocket(client).destroy()
}

/** Settings that the server has reported so far, by name. */
export function toldBy(client: Client): ReadonlyMap<string, string> {
  const told = new Map<string, string>()
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('parameterStatus', (said: { parameterName: string; parameterValue: string }) => {
    told.set(said.parameterName, said.parameterValue)
  })
  return told
}

/** The backend that the server, or a pooler before it, says it has for this connection. */
export function getBackend(client: Client | PoolClient): number {
  return (client as unknown as { processID: number | null }).processID ?? 0
}
