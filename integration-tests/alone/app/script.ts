// One story, told on standard output: what it awaits, and that it has had its answers. Nothing else keeps it alive.
import { writeSync } from 'node:fs'
import { errandHere, forgetful, stories } from './stories.ts'

/** An idle instance lets its process end within this time. */
const idleMs = 1_000

const name = process.argv[2] ?? ''
const story = stories[name] ?? forgetful[name]
if (!story) throw new Error(`there is no story '${name}'`)
await story(errandHere(), async (what, promise) => {
  writeSync(1, `${what}\n`)
  return promise
})
writeSync(1, 'answered\n')
// By this process's own clock: a machine with too much to do gives it less of a second.
setTimeout(() => {
  writeSync(1, `alive after ${idleMs} ms, for ${process.getActiveResourcesInfo().join(', ')}\n`)
  process.exit(1)
}, idleMs).unref()
