import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { confirmed } from '../src/confirm.ts'
import { openTerminal } from '../src/output/terminal.ts'

/** What a person types at the question, as the terminal sends it. */
function answer(typed: string, end: boolean): Promise<boolean> {
  const input = new PassThrough()
  const output = Object.assign(new PassThrough(), { isTTY: true })
  output.resume()
  const answered = confirmed({ ...openTerminal(false), interactive: true }, 'replay 3 jobs?', {
    input,
    output,
  })
  if (end) input.end(typed)
  else input.write(typed)
  return answered
}

test('a question is answered with yes by y and yes, and with no by everything else', async () => {
  for (const yes of ['y\r', 'YES\r', ' yes \r']) expect(await answer(yes, false)).toBe(true)
  for (const no of ['n\r', '\r', 'yesterday\r']) expect(await answer(no, false)).toBe(false)
})

test('Ctrl-C at a question means no', async () => {
  expect(await answer('\u0003', false)).toBe(false)
})

test('Ctrl-D at a question, and a terminal that has gone, mean no', async () => {
  expect(await answer('\u0004', false)).toBe(false)
  expect(await answer('', true)).toBe(false)
})
