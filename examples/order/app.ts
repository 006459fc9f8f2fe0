import { createErrand } from 'errand'
import config from './errand.config.ts'
import { decided, fulfilOrder } from './jobs.ts'

const [command, order = 'a-1', ...rest] = process.argv.slice(2)
await using errand = createErrand(config)

if (command === 'place') {
  // `node app.ts place a-1 49900 'Main Street 1'`
  const [cents = '49900', address = 'Main Street 1'] = rest
  const { id, status } = await errand.dispatch(fulfilOrder, { order, cents: Number(cents), address })
  console.log(`order ${order} is job ${id}: ${status}`)
} else if (command === 'approve' || command === 'reject') {
  // `node app.ts approve a-1 mia`: what the button of an internal page would do.
  const [by = 'mia'] = rest
  const approved = command === 'approve'
  for await (const { id } of errand.jobs.list({ tag: order })) {
    const { status } = await errand.jobs.send(id, decided, { approved, by })
    console.log(`${by} ${approved ? 'approves' : 'rejects'} order ${order}: ${status}`)
  }
} else console.log('node app.ts place ORDER CENTS ADDRESS | approve ORDER WHO | reject ORDER WHO')
