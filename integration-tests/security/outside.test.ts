import { chmodSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createErrand, defineJob, handle } from '@errand/core'
import { quietLogger } from '@errand/testkit'
import { makeFolder } from '../fleet/shared.ts'
import { expect, inject, onTestFinished, test } from 'vitest'

const plain = defineJob({ name: 'security.plain' })

function fileUrl(): { readonly file: string; readonly log: string } {
  const file = join(makeFolder(), 'errand.db')
  return { file, log: `sqlite:${file}` }
}

test.skipIf(inject('amqp') === undefined)(
  'a broker that refuses its user costs no job: dispatch stores it, and a worker takes it from the log',
  async () => {
    const { log } = fileUrl()
    const refused = Object.assign(new URL(inject('amqp')!), { username: 'guest', password: 'wrong' }).href
    const web = createErrand({ log, driver: refused, logger: quietLogger })
    onTestFinished(() => web.close())
    const receipt = await web.dispatch(plain)
    expect(receipt.status).toBe('added')
    expect(await web.jobs.get(receipt.id)).toMatchObject({ state: 'ready' })

    const errand = createErrand({ log, logger: quietLogger })
    const worker = errand.work({ handlers: [handle(plain, () => {})] }, { signals: false })
    onTestFinished(() => errand.close())
    await errand.result(receipt)
    await worker.stop()
  },
)

test('what SQLite writes beside its file has the permissions of the file', async () => {
  const { file, log } = fileUrl()
  writeFileSync(file, '')
  chmodSync(file, 0o600)
  const errand = createErrand({ log, logger: quietLogger })
  onTestFinished(() => errand.close())
  await errand.dispatch(plain)
  for (const name of [file, `${file}-wal`, `${file}-shm`])
    expect((statSync(name).mode & 0o777).toString(8), name).toBe('600')
})
