export { sqlite } from './sqlite/sqlite.ts'
export type { SqliteOptions } from './sqlite/sqlite.ts'
export { fromUrl } from './from-url.ts'
