import { defineConfig } from 'errand'

export default defineConfig({ worker: './worker.ts' })
