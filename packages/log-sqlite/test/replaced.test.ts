import { copyFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createErrand, defineJob, handle } from '@errand/core'
import { newJob, quietLogger, workerRef } from '@errand/testkit'
import { sqlite } from '../src/index.ts'
import { openLog, temporaryFolder } from './temporary.ts'

const ways: readonly (readonly [how: string, act: (file: string) => void])[] = [
  ['deleted', (file) => unlinkSync(file)],
  [
    'replaced by a copy',
    (file) => {
      copyFileSync(file, `${file}.copy`)
      renameSync(`${file}.copy`, file)
    },
  ],
  [
    'deleted with all that lies beside it, and made again',
    (file) => {
      for (const end of ['', '-wal', '-shm']) rmSync(`${file}${end}`, { force: true })
      writeFileSync(file, '')
    },
  ],
]

test.each(ways)(
  'a dispatch into a file that was %s is not acknowledged, and no beat or sweep is',
  async (_how, act) => {
    const file = join(temporaryFolder(), 'jobs.db')
    const log = openLog(file)
    await log.connect()
    await log.append([newJob()])
    act(file)
    for (const call of [
      () => log.append([newJob()]),
      () => log.beat(workerRef(), { queues: [], taking: false, progress: [] }),
      () => log.sweep({ limit: 10, republish: true, queues: [], skipQueues: [] }),
    ]) {
      await expect(call()).rejects.toMatchObject({
        code: 'E_LOG_REPLACED',
        message: expect.stringContaining(file),
      })
    }
  },
)

test('a file that was moved away and put back is the same one', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const log = openLog(file)
  await log.connect()
  renameSync(file, `${file}.away`)
  await expect(log.append([newJob()])).rejects.toMatchObject({ code: 'E_LOG_REPLACED' })
  renameSync(`${file}.away`, file)
  await log.append([newJob()])
})

test('a worker whose file was deleted says so, stops, and fails', async () => {
  const file = join(temporaryFolder(), 'jobs.db')
  const errand = createErrand({ log: sqlite({ file }), logger: quietLogger })
  const worker = errand.work(
    { handlers: [handle(defineJob({ name: 'job' }), () => undefined)], lease: '3s', heartbeat: '100ms' },
    { signals: false },
  )
  await worker.ready
  unlinkSync(file)
  await expect(worker.finished).rejects.toMatchObject({ code: 'E_LOG_REPLACED' })
  await errand.close()
})

test('a log that is not to be made is not: neither the file nor its tables', async () => {
  const folder = temporaryFolder()
  const errand = createErrand({ log: sqlite({ file: join(folder, 'jobs.db') }), createLog: false })
  await expect(errand.queues.list()).rejects.toMatchObject({ code: 'E_LOG_VERSION' })
  await errand.close()
})
