import { createErrand } from 'errand'
import config from './errand.config.ts'
import { indexDocument } from './jobs.ts'

const [command, tenant = 'acme', what = '3'] = process.argv.slice(2)
await using errand = createErrand(config)

if (command === 'edit') {
  // One document, saved again and again: `node app.ts edit acme notes`.
  for (let version = 1; version <= 5; version += 1) {
    const { status } = await errand.dispatch(indexDocument, {
      tenant,
      document: what,
      text: `version ${version}`,
    })
    console.log(`version ${version} of ${what}: ${status}`)
  }
} else if (command === 'import') {
  // Many documents: `node app.ts import acme 200`.
  const documents = Array.from({ length: Number(what) }, (_, number) => ({
    tenant,
    document: `${tenant}-${number}`,
    text: 'imported',
  }))
  await errand.dispatchMany(documents.map((one) => indexDocument.with(one)))
  console.log(`${documents.length} documents of ${tenant} are dispatched`)
} else console.log('node app.ts edit TENANT DOCUMENT | import TENANT COUNT')
