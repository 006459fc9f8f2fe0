import { expect, test } from 'vitest'
import { defineJob } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'

const job = defineJob({ name: 'a' })

test('a list of jobs that is awaited is an array, and iterated it gives the same', async () => {
  await using test = testInstance()
  const first = await test.errand.dispatch(job)
  const second = await test.errand.dispatch(job)
  const ids = (await test.errand.jobs.list()).map(({ id }) => id)
  expect(ids).toEqual([second.id, first.id])
  const iterated: string[] = []
  for await (const { id } of test.errand.jobs.list()) iterated.push(id)
  expect(iterated).toEqual(ids)
  expect(await test.errand.jobs.list({ limit: 1 })).toMatchObject([{ id: second.id }])
})

test('awaited without a limit it refuses to fill the memory, and says how to go on', async () => {
  await using test = testInstance()
  await test.errand.dispatchMany(Array.from({ length: 10_001 }, () => job.with(undefined)))
  expect(await catchRefusal(async () => test.errand.jobs.list())).toMatchObject({ code: 'E_OPTION' })
  expect(await test.errand.jobs.list({ limit: 10_001 })).toHaveLength(10_001)
})
