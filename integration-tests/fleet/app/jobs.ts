import { defineJob, defineLimit, fixed } from '@errand/core'
import { z } from 'zod'

const again = { attempts: 10, backoff: fixed('20ms') }
/** A fleet is killed around its jobs more often than the default allows. */
const tough = { queue: 'work', retry: again, crashes: 10, timeout: '30s' } as const

/** Work that fails now and then, in the order of its key if it has one. */
export const work = defineJob({
  ...tough,
  name: 'fleet.work',
  payload: z.object({ n: z.number(), key: z.string().optional(), failures: z.number(), ms: z.number() }),
})

/** The same, with an ordering key. */
export const ordered = defineJob({
  ...tough,
  name: 'fleet.ordered',
  payload: z.object({ n: z.number(), key: z.string(), failures: z.number(), ms: z.number() }),
  order: { key: (payload) => payload.key },
})

/** Never started again when its end is unknown. */
export const once = defineJob({
  name: 'fleet.once',
  queue: 'work',
  payload: z.object({ n: z.number(), ms: z.number() }),
  onCrash: 'fail',
  retry: { attempts: 1 },
})

/** Dispatches members; its first run then takes its time, and the second one fails. */
export const family = defineJob({
  name: 'fleet.family',
  queue: 'work',
  payload: z.object({ members: z.number(), ms: z.number() }),
  retry: { attempts: 3, backoff: fixed('20ms') },
})

export const member = defineJob({
  name: 'fleet.member',
  queue: 'work',
  payload: z.object({ n: z.number() }),
})

/** What a schedule dispatches: which tick it is. */
export const ticked = defineJob({
  ...tough,
  name: 'fleet.ticked',
  payload: z.object({ name: z.string(), at: z.number() }),
})

/** Keeps the event loop busy without a pause. Its timeout is far off: on a slow machine the test asks for minutes. */
export const hog = defineJob({
  name: 'fleet.hog',
  queue: 'work',
  payload: z.object({ ms: z.number() }),
  timeout: '5m',
})

/** Waits until the test opens the gate, which is a file beside the ledger. To others it looks busy. */
export const gated = defineJob({
  name: 'fleet.gated',
  queue: 'work',
  payload: z.object({ n: z.number() }),
  timeout: '1h',
})

/** Work on another queue: served only by workers that are told to. */
export const aside = defineJob({
  name: 'fleet.aside',
  queue: 'aside',
  payload: z.object({ n: z.number() }),
})

/** Writes a row, and completes in the same transaction: the row is there once, whatever happens. */
export const paid = defineJob({
  ...tough,
  name: 'fleet.paid',
  payload: z.object({ n: z.number(), ms: z.number().default(0) }),
})

/** Runs until the test opens its gate. */
export const held = defineJob({
  ...tough,
  name: 'fleet.held',
  payload: z.object({ gate: z.string() }),
  timeout: '2m',
})

/** The same, and never started again once its end is unknown. */
export const heldOnce = defineJob({
  name: 'fleet.held-once',
  queue: 'work',
  payload: z.object({ gate: z.string() }),
  onCrash: 'fail',
  retry: { attempts: 1 },
  timeout: '2m',
})

/** As `held`, two at a time in the whole fleet. */
export const capped = defineJob({
  ...tough,
  name: 'fleet.capped',
  payload: z.object({ gate: z.string() }),
  timeout: '2m',
  limit: defineLimit({ name: 'fleet.cap', concurrency: 2 }),
})

/** Fails for good at the head of its ordering key. */
const hopelessWith = (name: string, onFailure: 'block' | 'skip') =>
  defineJob({
    name,
    queue: 'work',
    payload: z.object({ key: z.string(), fails: z.boolean() }),
    order: { key: ({ key }) => key, onFailure },
    retry: { attempts: 2, backoff: fixed('20ms') },
  })
export const blocking = hopelessWith('fleet.blocking', 'block')
export const skipping = hopelessWith('fleet.skipping', 'skip')
