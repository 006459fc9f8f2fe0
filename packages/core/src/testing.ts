/** For applications' own tests, and the reference log and driver. No test runner is imported. */
export { memoryDriver } from './testing/memory-driver.ts'
export { memoryLog } from './testing/memory-log.ts'
export { virtualClock } from './testing/virtual-clock.ts'
export type { VirtualClock } from './testing/virtual-clock.ts'
