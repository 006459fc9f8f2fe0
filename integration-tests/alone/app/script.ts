// Runs one story, and prints what it awaits and that it has got its answers. Nothing else keeps the process alive.
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
// Measured in this process: on a busy machine its parent would see a longer time.
setTimeout(() => {
  writeSync(1, `alive after ${idleMs} ms, for ${process.getActiveResourcesInfo().join(', ')}\n`)
  process.exit(1)
}, idleMs).unref()
