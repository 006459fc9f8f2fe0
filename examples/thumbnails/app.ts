import { resolve } from 'node:path'
import { createErrand } from 'errand'
import config from './errand.config.ts'
import { makeThumbnail } from './jobs.ts'

// What a web application would do in a request: dispatch, and go on. This one then waits for the results.
const files = process.argv.slice(2).map((file) => resolve(file))

await using errand = createErrand(config)
const receipts = await errand.dispatchMany(files.map((file) => makeThumbnail.with({ file, width: 200 })))
for (const receipt of receipts) {
  const { path } = await errand.result(receipt, { timeout: '1m' })
  console.log(path)
}
