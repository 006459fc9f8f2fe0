import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, defineWorker, handle } from 'errand'
import { BadRow, count, store } from './customers.ts'
import config from './errand.config.ts'
import { importRows, readFile, report } from './jobs.ts'
import { chunksOf } from './rows.ts'

/** For those who want to see how the batch grows: a slow file. */
const pauseMs = Number(process.env['READ_PAUSE_MS'] ?? 0)

export default defineWorker({
  concurrency: 4,
  // So short only so that nobody waits for the jobs of a worker that was killed. The default is 30 s.
  lease: '2s',
  handlers: [
    handle(readFile, async ({ file }, ctx) => {
      let part = 0
      for await (const rows of chunksOf(file, 500)) {
        // While this member runs, the batch cannot end. A second run adds nothing twice: it finds the same jobs there.
        await ctx.flow?.add([importRows.with({ part, rows })])
        part += 1
        await sleep(pauseMs)
      }
      console.log(`${file} has ${part} parts`)
    }),
    handle(importRows, ({ part, rows }, ctx) => {
      try {
        store(rows)
      } catch (error) {
        if (error instanceof BadRow) return ctx.fail(error)
        throw error
      }
      console.log(`part ${part} is imported`)
      return undefined
    }),
    handle(report, async ({ file, flow }) => {
      await using errand = createErrand(config)
      const { state, total, succeeded, failed } = (await errand.flows.get(flow))!
      console.log(
        `the import of ${file} has ${state}: ${succeeded} of ${total} jobs, ${failed} failed, ${count()} rows`,
      )
    }),
  ],
})
