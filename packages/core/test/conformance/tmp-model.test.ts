import { afterAll } from 'vitest'
;(globalThis as any).stats = {}
await import('./memory-model.test.ts')
afterAll(() => console.log(JSON.stringify((globalThis as any).stats)))
