import { randomUUID } from 'node:crypto'
import { batch, createErrand } from 'errand'
import config from './errand.config.ts'
import { readFile, report } from './jobs.ts'
import { writeRows } from './rows.ts'

const [command, file = 'customers.csv', ...rest] = process.argv.slice(2)

if (command === 'make') {
  // `node app.ts make customers.csv 50000 1234`: 50,000 rows, and row 1234 is bad.
  const [rows = '50000', ...bad] = rest
  writeRows(file, Number(rows), bad.map(Number))
} else if (command === 'import') {
  await using errand = createErrand(config)
  const id = randomUUID()
  const whole = batch([readFile.with({ file })], {
    name: `import ${file}`,
    // Parts that fail are left out. With more of them the rest is cancelled.
    allowFailures: 2,
    onEnd: report.with({ file, flow: id }),
  })
  await errand.dispatch(whole, { id })
  console.log(`the import of ${file} is flow ${id}`)
} else console.log('node app.ts make FILE ROWS [BAD ROWS] | import FILE')
