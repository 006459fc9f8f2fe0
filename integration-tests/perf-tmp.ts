import { createErrand, defineJob, handle } from '@errand/core'
const job = defineJob({ name: 'noop' })
const errand = createErrand({ logger: { debug() {}, info() {}, warn: (o, m) => console.log('warn', m, o), error: (o, m) => console.log('error', m, o) } })
const total = Number(process.argv[2] ?? 10000), conc = Number(process.argv[3] ?? 100)
await errand.migrate()
let t = performance.now()
for (let i = 0; i < total; i += 500) await errand.dispatchMany(Array.from({ length: Math.min(500, total - i) }, () => job.with(undefined)))
console.log('dispatched/s', Math.round(total / ((performance.now() - t) / 1000)))
let done = 0
const all = Promise.withResolvers<void>()
t = performance.now()
const cpu = process.cpuUsage()
const worker = errand.work({ concurrency: conc, handlers: [handle(job, () => { done++; if (done === total) all.resolve() })] }, { signals: false })
await all.promise
const s = (performance.now() - t) / 1000
const used = process.cpuUsage(cpu)
console.log('run/s', Math.round(total / s), 'cpu us/job', Math.round((used.user + used.system) / total))
await errand.close()
