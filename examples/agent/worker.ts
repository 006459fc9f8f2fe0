import { defineWorker, handle } from 'errand'
import { answer } from './jobs.ts'
import { askModel } from './model.ts'
import type { Message } from './model.ts'
import { tools } from './tools.ts'

const mostTurns = 20

export default defineWorker({
  // So short only so that nobody waits for the jobs of a worker that was killed. The default is 30 s.
  lease: '2s',
  handlers: [
    handle(answer, async ({ question }, ctx) => {
      const messages: Message[] = [{ role: 'user', text: question }]
      for (let turn = 1; turn <= mostTurns; turn += 1) {
        // A later run of this job builds the same conversation from what these steps returned, and asks for nothing again.
        const reply = await ctx.step(`model-${turn}`, () => {
          console.log(`turn ${turn}: asks the model`)
          return askModel(messages, ctx.signal)
        })
        messages.push(reply)
        const { call } = reply
        if (!call) {
          console.log(`${question} ${reply.text}`)
          return { answer: reply.text }
        }
        const text = await ctx.step(`tool-${turn}`, () => {
          console.log(`turn ${turn}: uses ${call.tool} ${call.input}`)
          return tools[call.tool](call.input)
        })
        messages.push({ role: 'tool', text })
      }
      return ctx.fail(`no answer after ${mostTurns} turns`)
    }),
  ],
})
