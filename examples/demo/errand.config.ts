import { defineConfig } from 'errand'

// Where jobs are kept is in ERRAND_LOG, and how tickets travel in ERRAND_DRIVER.
export default defineConfig({ worker: './worker.ts' })
