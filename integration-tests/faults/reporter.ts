import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'
import { faultNames, notAt } from './faults.ts'
import { missingAt, placeKinds } from '../fleet/place.ts'
import { report } from './report.ts'
import type { Result } from './report.ts'

const page = new URL('../../docs/reliability.md', import.meta.url)

/** Writes docs/reliability.md if every fault was tried on every place. A part of a run says nothing about the rest. */
export default class ReliabilityPage implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const results = modules
      .flatMap((module) => [...module.children.allTests()])
      .flatMap((test): Result[] => {
        const { fault } = test.meta()
        return fault === undefined ? [] : [{ ...fault, passed: test.result().state === 'passed' }]
      })
    const expected = placeKinds.flatMap((place) =>
      faultNames.filter((name) => notAt(name, place) === undefined),
    ).length
    const passed = results.filter((result) => result.passed).length
    const failed = results.length - passed
    process.stdout.write(
      `\nfaults: ${passed} survived, ${failed} not, ${expected - results.length} not tried\n`,
    )
    for (const place of placeKinds) {
      const missing = missingAt(place)
      if (missing !== undefined) process.stdout.write(`not on ${place.title}: ${missing}\n`)
    }
    if (results.length < expected) return
    writeFileSync(page, report(results))
    process.stdout.write('docs/reliability.md was written\n')
  }
}
