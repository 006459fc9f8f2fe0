import type { FlowRequest } from '../define/flow.ts'
import type { AnyJob } from '../define/job.ts'
import { resolvedMessage } from '../define/message.ts'
import type { Call, Receive, RunStep, Sleep, Step } from '../define/step.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { momentMs } from '../moment.ts'
import { checkStepName } from '../names.ts'
import { stepScope } from '../worker/steps/scope.ts'
import type { Steps } from '../worker/steps/steps.ts'
import { parseStepJson, toStepJson } from '../worker/steps/step-json.ts'

/** A step or a wait that the handler came to, in order. */
export interface FakeStep {
  readonly name: string
  readonly kind: 'step' | 'sleep' | 'receive' | 'call'
  /** What the handler got; undefined for a sleep. */
  readonly result: unknown
}

/**
 * The steps of a handler that a test calls by hand. What `memory` names is given instead: an error there is thrown. Other
 * steps run, and sleeps are over at once.
 */
export class FakeSteps implements Pick<Steps, 'step' | 'sleep' | 'receive' | 'call'> {
  readonly done: FakeStep[] = []
  readonly #memory: Readonly<Record<string, unknown>>
  readonly #idempotencyKey: string
  readonly #names = new Set<string>()

  constructor(memory: Readonly<Record<string, unknown>>, idempotencyKey: string) {
    this.#memory = memory
    this.#idempotencyKey = idempotencyKey
  }

  readonly step: RunStep = async (name, run, options) => {
    const returns = options?.returns
    return (await this.#once(name, 'step', async () => {
      const step: Step = { idempotencyKey: `${this.#idempotencyKey}/${name}` }
      const value = await stepScope.run(this, () => run(step))
      return parseStepJson(name, returns, toStepJson(name, value))
    })) as never
  }

  readonly sleep: Sleep = async (name, how) => {
    await this.#once(name, 'sleep', () => {
      if (typeof how === 'object') momentMs(`until of ctx.sleep('${name}')`, how.until)
      else durationMs(how, `ctx.sleep('${name}')`)
    })
  }

  readonly receive = (async (
    name: string,
    message: Parameters<typeof resolvedMessage>[0],
    options?: { readonly timeout: Duration },
  ) =>
    this.#once(name, 'receive', () => {
      resolvedMessage(message)
      if (options === undefined) throw notGiven(name, 'the payload of the message that it receives')
      durationMs(options.timeout, `timeout of ctx.receive('${name}')`)
    })) as Receive

  readonly call = (async (name: string, what: AnyJob | FlowRequest<unknown>) =>
    this.#once(name, 'call', () => {
      throw notGiven(name, `the result of ${what.name ?? 'the flow'}`)
    })) as Call

  async #once(name: string, kind: FakeStep['kind'], otherwise: () => unknown): Promise<unknown> {
    checkStepName(name)
    if (stepScope.getStore() === this)
      throw new ErrandError('E_STEP_NESTED', `'${name}' was begun inside a step`)
    if (this.#names.has(name)) {
      throw new ErrandError('E_STEP_NAME', `the handler has two steps or waits with the name '${name}'`)
    }
    this.#names.add(name)
    try {
      const given = this.#memory[name]
      if (given instanceof Error) throw given
      const result = Object.hasOwn(this.#memory, name) ? given : await otherwise()
      this.done.push({ name, kind, result })
      return result
    } catch (error) {
      // It may be tried again.
      this.#names.delete(name)
      throw error
    }
  }
}

function notGiven(name: string, what: string): ErrandError {
  return new ErrandError(
    'E_FAKE',
    `fakeContext does not know what '${name}' gives; pass { memory: { '${name}': ${what} } }`,
  )
}
