/** Follows every event from the last line of its own file on, and writes each one down before it asks for the next. */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs'
import { createErrand } from '@errand/core'

const file = process.env['FOLLOWED'] ?? ''
const kept = existsSync(file) ? readFileSync(file, 'utf8') : ''
// A line that was cut by the kill was not seen.
const whole = kept.slice(0, kept.lastIndexOf('\n') + 1)
if (whole.length < kept.length) truncateSync(file, Buffer.byteLength(whole))
const last = whole.trimEnd().split('\n').at(-1) ?? ''
const after = last === '' ? undefined : (JSON.parse(last) as { cursor: string }).cursor

const errand = createErrand()
console.log('ready a follower')
for await (const event of errand.events.follow({ after: after ?? 'start' })) {
  const { cursor, jobId, version } = event
  appendFileSync(file, `${JSON.stringify({ cursor, jobId, version })}\n`)
}
