/** Runs a job of its own. */
import { database } from '@errand/driver-database'
import { sqlite } from '@errand/log-sqlite'
import { createErrand, defineJob, handle } from 'errand'
import { told } from './told.ts'

const job = defineJob({ name: 'bundled' })

void told(async () => {
  await using errand = createErrand({ log: sqlite({ file: process.argv[2] ?? '' }), driver: database() })
  const ran = Promise.withResolvers<string>()
  const handlers = [handle(job, () => ran.resolve('ran'))]
  const worker = errand.work({ handlers }, { signals: false })
  await worker.ready
  await errand.dispatch(job)
  return await ran.promise
})
