import type { Reporter, SerializedError, TestModule } from 'vitest/node'
import { missingPostgres } from './private-postgres.ts'
import { isRabbitmqInstalled } from './private-rabbitmq.ts'
import { serversOfThisRun } from './setup.ts'

/** The last lines of a run: which servers it used, a line for each test that failed, and one plain line of numbers. */
export default class ClosingLines implements Reporter {
  async onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): Promise<void> {
    const count = { passed: 0, failed: errors.length, skipped: 0, pending: 0 }
    const failures = errors.map((error) => `failed: ${toLine(error)}`)
    for (const module of modules) {
      const tests = [...module.children.allTests()]
      for (const test of tests) {
        const { state, errors: why = [] } = test.result()
        count[state] += 1
        if (state !== 'failed') continue
        const reasons = why.map((error) => toLine(error)).join('; ')
        failures.push(
          `failed: ${module.project.name} ${module.relativeModuleId} > ${test.fullName}: ${reasons}`,
        )
      }
      // A file that could not be loaded has no test that can fail. It must not look like an empty file.
      if (module.state() === 'failed' && !tests.some((test) => test.result().state === 'failed')) {
        count.failed += 1
        failures.push(
          `failed: ${module.project.name} ${module.relativeModuleId}: ${module.errors().map(toLine).join('; ')}`,
        )
      }
    }

    // Then the setup of the projects has failed, and no test shows it.
    if (modules.length === 0 && count.failed === 0) count.failed = 1

    const skipped = count.skipped + count.pending
    const own = skipped > 0 ? describeMissing(missingOwn()) : []
    const lines = ['', 'Servers', ...(await serverLines()), ...own, '', ...failures]
    const numbers = `${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
    process.stdout.write([...lines, numbers, ''].join('\n'))
  }
}

/** The first line of the message: the rest is above. */
function toLine({ message }: { readonly message: string }): string {
  return message.split('\n', 1)[0] ?? ''
}

async function serverLines(): Promise<readonly string[]> {
  const servers = serversOfThisRun()
  if (!servers) return ['  none asked for']
  const found = [...(await servers.found)]
  return found.map(([service, { server, why }]) =>
    server
      ? `  ${service.name}: ${server.what}`
      : `  ${service.name}: MISSING, ${process.env['CI'] === 'true' ? 'and CI=true: the run fails' : 'its tests were skipped'} (${why})`,
  )
}

/** Servers that some tests start for themselves, and why this machine cannot have them. */
function missingOwn(): Readonly<Record<string, string | undefined>> {
  return {
    PostgreSQL: missingPostgres(),
    RabbitMQ: isRabbitmqInstalled() ? undefined : 'install RabbitMQ, or set ERRAND_TEST_RABBITMQ_ROOT',
  }
}

/** A line for each server that is missing. */
export function describeMissing(why: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.entries(why).flatMap(([server, reason]) =>
    reason === undefined
      ? []
      : `  a ${server} of a test's own: MISSING, the tests that need one were skipped (${reason})`,
  )
}
