/** Names its log by URL, which loads the log's package when it is used. */
import { createErrand, defineJob } from 'errand'
import { told } from './told.ts'

void told(async () => {
  await using errand = createErrand({ log: `sqlite:${process.argv[2]}` })
  return (await errand.dispatch(defineJob({ name: 'bundled' }))).status
})
