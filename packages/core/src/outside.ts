import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * Runs something in the asynchronous context in which Errand was loaded, instead of the caller's. What lives longer than a
 * call, such as a worker or a connection, must not keep the context of the request that happened to begin it: handlers would
 * see it for ever, and it would never be collected.
 */
export const outside: <T>(act: () => T) => T = AsyncLocalStorage.snapshot()
