import { BaseSequencer } from 'vitest/node'
import type { TestSpecification } from 'vitest/node'

/** Projects whose tests mostly wait for their broker. */
const waiting: ReadonlySet<string> = new Set(['rabbitmq', 'driver-rabbitmq', 'driver-sqs'])

/**
 * Spreads the files that mostly wait over those that work. In vitest's order they came one after the other, with idle
 * processors, for a quarter of the whole run.
 */
export default class SpreadWaits extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isWaiting = ({ project }: TestSpecification): boolean => waiting.has(project.name)
    const others = sorted.filter((file) => !isWaiting(file))
    const waits = sorted.filter(isWaiting)
    const each = Math.max(1, Math.floor(others.length / (waits.length + 1)))
    return [
      ...waits.flatMap((file, at) => [file, ...others.slice(at * each, (at + 1) * each)]),
      ...others.slice(waits.length * each),
    ]
  }
}
