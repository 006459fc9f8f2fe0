export { database, fromUrl } from './driver.ts'
export type { DatabaseOptions } from './driver.ts'
