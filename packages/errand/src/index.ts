export * from '@errand/core'
