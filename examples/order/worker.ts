import { defineWorker, handle } from 'errand'
import type { Duration } from 'errand'
import { decided, fulfilOrder } from './jobs.ts'
import { ask, Refused } from './shop.ts'

// A person has three days. `DECIDE_WITHIN=5s` is for those who want to see what happens then.
const decideWithin = (process.env['DECIDE_WITHIN'] ?? '3d') as Duration

export default defineWorker({
  // So short only so that nobody waits for the jobs of a worker that was killed. The default is 30 s.
  lease: '2s',
  handlers: [
    handle(fulfilOrder, async ({ order, cents, address }, ctx) => {
      // Each step runs once: a later run of this job gets what it returned. The key is for the moment between the charge and
      // its record, in which the process may die: then the step runs again, and the service knows the key.
      const charge = await ctx.step('charge', ({ idempotencyKey }) =>
        ask('charges', { order, cents }, idempotencyKey, ctx.signal),
      )
      try {
        if (cents > 10_000) {
          // Nothing runs meanwhile: no process has to live for three days.
          const decision = await ctx.receive('decision', decided, { timeout: decideWithin })
          if (!decision) throw new Refused('nobody has decided in time')
          if (!decision.approved) throw new Refused(`${decision.by} has rejected it`)
        }
        const shipment = await ctx.step('ship', ({ idempotencyKey }) =>
          ask('shipments', { order, address }, idempotencyKey, ctx.signal),
        )
        console.log(`order ${order} is shipped: ${shipment.id}`)
        return { state: 'shipped' as const }
      } catch (error) {
        // Compensation is a plain catch. Other errors are attempts: the job runs again, and goes on where it was.
        if (!(error instanceof Refused)) throw error
        await ctx.step('refund', ({ idempotencyKey }) =>
          ask('refunds', { charge: charge.id }, idempotencyKey, ctx.signal),
        )
        console.log(`order ${order} is refunded: ${error.message}`)
        return { state: 'refunded' as const, why: error.message }
      }
    }),
  ],
})
