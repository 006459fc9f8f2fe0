import { defineJob, fixed } from '@errand/core'
import { z } from 'zod'

/** Work that fails now and then, in the order of its key where it has one. */
export const work = defineJob({
  name: 'fleet.work',
  queue: 'work',
  payload: z.object({ n: z.number(), key: z.string().optional(), failures: z.number(), ms: z.number() }),
  timeout: '30s',
  retry: { attempts: 10, backoff: fixed('20ms') },
  // A fleet is killed around it more often than the default allows.
  crashes: 10,
})

/** The same, with an ordering key. */
export const ordered = defineJob({
  name: 'fleet.ordered',
  queue: 'work',
  payload: z.object({ n: z.number(), key: z.string(), failures: z.number(), ms: z.number() }),
  order: { key: (payload) => payload.key },
  timeout: '30s',
  retry: { attempts: 10, backoff: fixed('20ms') },
  crashes: 10,
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

/** Keeps the event loop busy without a pause. Its timeout is far off: on a slow machine the test asks for minutes. */
export const hog = defineJob({
  name: 'fleet.hog',
  queue: 'work',
  payload: z.object({ ms: z.number() }),
  timeout: '1m',
})

/** Waits until the test opens the gate, which is a file beside the ledger: busy for an hour, as far as anybody can tell. */
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
