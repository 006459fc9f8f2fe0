import { defineJob } from 'errand'

export const slow = defineJob({ name: 'application.slow' })
