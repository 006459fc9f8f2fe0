const { createErrand, defineJob, defineWorker, handle } = require('errand')
const { z } = require('zod')

async function main() {
  const greet = defineJob({
    name: 'application.greet',
    payload: z.object({ name: z.string() }),
    returns: z.object({ text: z.string() }),
  })
  const worker = defineWorker({ handlers: [handle(greet, ({ name }) => ({ text: `hello, ${name}` }))] })

  const errand = createErrand({ log: 'sqlite:./app.db' })
  const working = errand.work(worker, { signals: false })
  await working.ready
  const receipt = await errand.dispatch(greet, { name: 'errand' })
  const { text } = await errand.result(receipt, { timeout: '20s' })
  await working.stop()
  await errand.close()
  console.log(`the job said: ${text}`)
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
