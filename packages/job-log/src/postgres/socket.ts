import type { Client, PoolClient } from 'pg'

interface Socket {
  ref?(): void
  unref?(): void
  destroy(): void
}

/** The socket under a connection: pg has no calls of its own for what is done with it here. */
function socketOf(client: Client | PoolClient): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream
}

/** Whether an idle connection keeps a process alive that has nothing else to do. */
export function keepAlive(client: Client | PoolClient, alive: boolean): void {
  const socket = socketOf(client)
  if (alive) socket.ref?.()
  else socket.unref?.()
}

/** At once, whatever is under way: ending a pipelined connection in order would wait for it. */
export function hangUp(client: Client | PoolClient): void {
  socketOf(client).destroy()
}
