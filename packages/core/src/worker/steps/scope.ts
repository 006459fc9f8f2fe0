import { AsyncLocalStorage } from 'node:async_hooks'

/** Whose step is running, in the code that it calls. */
export const stepScope: AsyncLocalStorage<object> = new AsyncLocalStorage()
