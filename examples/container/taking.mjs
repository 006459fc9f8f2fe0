// Ends with 0 when the worker of this container takes jobs. For a probe while it starts: each call is a process of its own.
import { hostname } from 'node:os'
import { createErrand } from 'errand'

const errand = createErrand()
try {
  const workers = await errand.workers.list()
  const own = workers.filter(({ alive, host }) => alive && host === hostname())
  const why = own.map((worker) => worker.why ?? 'it gives no reason').join('; ')
  if (!own.some(({ taking }) => taking)) throw new Error(why || 'no worker of this container is known')
} catch (error) {
  console.error(`not taking: ${error.message}`)
  process.exitCode = 1
} finally {
  await errand.close()
}
