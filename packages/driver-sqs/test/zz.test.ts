import { it, inject } from 'vitest'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import { Corner, publish, tickets, subscribe } from './sqs.ts'
it('speed', async () => {
  await using c = new Corner(inject('sqs')!)
  const f = new SqsFaults({seed:1})
  const d = c.open({client: c.faulty(f)})
  const all = tickets(1000,'q')
  let t = performance.now()
  await publish(d, all)
  console.log('publish', performance.now()-t)
  const s = await subscribe(d,'q')
  for (let n=0;n<8;n++) {
    t=performance.now(); const got = await s.next(10, AbortSignal.timeout(9000)); const t1=performance.now()
    await Promise.all(got.map(g=>g.ack())); console.log(got.length, Math.round(t1-t), Math.round(performance.now()-t1), f.requests['ReceiveMessage'])
  }
  const d2 = c.open()
  const s2 = await subscribe(d2,'q')
  for (let n=0;n<8;n++) {
    t=performance.now(); const got = await s2.next(10, AbortSignal.timeout(9000)); const t1=performance.now()
    await Promise.all(got.map(g=>g.ack())); console.log('own',got.length, Math.round(t1-t), Math.round(performance.now()-t1), f.requests['ReceiveMessage'])
  }
}, 30000)
