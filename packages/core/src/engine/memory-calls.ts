import type { Ticket } from '../job/ticket.ts'
import type { Memory, Sent } from '../ports/memory.ts'
import { calls } from './calls.ts'
import type { EngineHost, Rules } from './job-log.ts'
import { send } from './messages.ts'
import { memoryOf, recall, remember, rememberInside } from './memory.ts'

/** The calls of the port that are about what jobs remember. */
export function memoryCalls(host: EngineHost): Memory {
  return {
    remember: (steps, by) =>
      host.write((store, now) => remember(store, now, steps, by), calls.remember(steps)),
    recall: (fence, name, by, tx) =>
      host.inside(tx, (store) => recall(store, fence, name, by), calls.recall(fence, name)),
    rememberInside: (step, by, tx) =>
      host.inside(tx, (store, now) => rememberInside(store, now, step, by), calls.recall(step, step.name)),
    memory: (job) => host.read((store) => memoryOf(store, job), calls.memory(job)),
    send: (messages, { tx } = {}) => {
      const rules: Rules<{ sent: Sent[]; tickets: Ticket[] }> = (store, now) =>
        send(store, now, messages, tx !== undefined)
      return tx ? host.inside(tx, rules, calls.sendInside(messages)) : host.write(rules, calls.send(messages))
    },
  }
}
