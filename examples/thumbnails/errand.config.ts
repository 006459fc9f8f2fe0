import { defineConfig } from 'errand'

// Where it happens: ERRAND_LOG and ERRAND_DRIVER say, and nothing else changes.
export default defineConfig({ worker: './worker.ts' })
