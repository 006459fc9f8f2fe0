import { AsyncLocalStorage } from 'node:async_hooks'
import { expect, test } from 'vitest'
import { defineJob, handle } from '../src/index.ts'
import { testInstance } from './instance.ts'

const request = new AsyncLocalStorage<string>()
const job = defineJob({ name: 'a' })

test('a worker that was started in a request runs its jobs outside of it', async () => {
  await using test = testInstance()
  const seen: unknown[] = []
  const handlers = [handle(job, () => void seen.push(request.getStore()))]
  const worker = request.run('first', () => test.errand.work({ handlers }, { signals: false }))
  await worker.ready
  await request.run('second', async () => test.errand.result(await test.errand.dispatch(job)))
  expect(seen).toEqual([undefined])
})

test('what dispatches share is sent outside of the request that happened to begin it', async () => {
  const seen: unknown[] = []
  await using test = testInstance({
    log: (log) => ({
      connect: () => {
        seen.push(request.getStore())
        return log.connect()
      },
      append: (...given) => {
        seen.push(request.getStore())
        return log.append(...given)
      },
    }),
  })
  await request.run('first', async () => {
    await test.errand.dispatch(job)
    expect(request.getStore()).toBe('first')
  })
  expect(seen).toEqual([undefined, undefined])
})
