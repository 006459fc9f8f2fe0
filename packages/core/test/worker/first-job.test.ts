import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import { stage } from './stage.ts'

const greet = defineJob({
  name: 'greet',
  payload: z.object({ who: z.string() }),
  returns: z.object({ text: z.string() }),
})

test('a job that is dispatched runs once, and its result comes back', async () => {
  await using on = stage()
  const seen: string[] = []
  const handler = handle(greet, ({ who }) => {
    seen.push(who)
    return { text: `hello ${who}` }
  })
  await on.work({ handlers: [handler] })
  const receipt = await on.errand.dispatch(greet, { who: 'Ada' })
  expect(await on.errand.result(receipt)).toEqual({ text: 'hello Ada' })
  expect(seen).toEqual(['Ada'])
  expect(await on.history(receipt.id)).toEqual(['dispatched', 'started', 'succeeded'])
})
