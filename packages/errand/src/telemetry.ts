export * from '@errand/core/telemetry'
