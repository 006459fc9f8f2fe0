/** Has no worker, and imports its log and driver. */
import { database } from '@errand/driver-database'
import { sqlite } from '@errand/log-sqlite'
import { createErrand, defineJob } from 'errand'
import { told } from './told.ts'

void told(async () => {
  await using errand = createErrand({ log: sqlite({ file: process.argv[2] ?? '' }), driver: database() })
  return (await errand.dispatch(defineJob({ name: 'bundled' }))).status
})
