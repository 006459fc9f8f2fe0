import { createErrand } from 'errand'
import config from './errand.config.ts'
import { sendMail } from './jobs.ts'

// A tenant and how many mails: `node app.ts acme 200`.
const [tenant = 'acme', count = '10'] = process.argv.slice(2)
const mails = Array.from({ length: Number(count) }, (_, number) => ({
  tenant,
  to: `user${number}@${tenant}.example`,
}))

await using errand = createErrand(config)
await errand.dispatchMany(mails.map((mail) => sendMail.with(mail)))
console.log(`${mails.length} mails of ${tenant} are dispatched`)
