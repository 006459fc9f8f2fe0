import { createHash } from 'node:crypto'
import type { FlowBody } from '../define/flow-body.ts'
import type { JobRequest } from '../define/job.ts'
import { ErrandError } from '../errors.ts'
import { idBeside } from '../ids.ts'
import type { Claim } from '../job/claim.ts'
import { canonicalJson } from '../json.ts'
import { checkOneOf, describe } from '../options.ts'
import type { Codec } from '../ports/codec.ts'
import type { Transaction } from '../ports/transaction.ts'
import { splitMeta } from '../schedule/tick-meta.ts'
import { checkKey } from './keys.ts'
import type { Dispatcher } from './dispatcher.ts'
import type {
  Child,
  ChildFlowOptions,
  ChildOptions,
  DispatchRequest,
  FlowReceipt,
  Parent,
  Receipt,
} from './request.ts'

export interface ChildrenParts {
  /** The claim of the parent's run. */
  readonly claim: Claim
  /** Runs with the same key have the same children. */
  readonly idempotencyKey: string
  readonly codec: Codec
  readonly dispatcher: Pick<Dispatcher, 'dispatch' | 'dispatchFlow' | 'addToFlow'>
}

/** What `dispatch` of a job and of a flow have in common. */
interface ChildCall<Answer> {
  readonly what: string
  readonly options: { readonly id?: string | undefined; readonly tx?: object | undefined } | undefined
  readonly dispatch: (parent: Parent) => Promise<Answer>
}

/** The repetitions of the same dispatch in this run: the first, the second, … */
interface Places {
  next: number
  /** Numbers of refused dispatches. The next same dispatch takes one, and so gets the same id. */
  free?: number[]
  /** Stored inside a transaction whose end this code does not see. */
  uncertain?: Map<number, object>
}

interface Place {
  readonly of: Places
  readonly index: number
  readonly id: string
  /** The transaction that stored it earlier in this run, if one did. */
  readonly before: object | undefined
}

/**
 * What one run of a job dispatches. A child's id follows from what it is. If a later run dispatches the same child again, the
 * log has the id already: it is a duplicate.
 */
export class Children {
  readonly #parts: ChildrenParts
  readonly #places = new Map<string, Places>()

  constructor(parts: ChildrenParts) {
    this.#parts = parts
  }

  async dispatch(request: DispatchRequest): Promise<Receipt<unknown>> {
    const { job, options } = request
    return this.#dispatch({
      what: `ctx.dispatch(${job.name})`,
      options,
      dispatch: (parent) => this.#parts.dispatcher.dispatch(request, parent),
    })
  }

  async dispatchFlow(body: FlowBody, options: ChildFlowOptions): Promise<FlowReceipt<unknown>> {
    return this.#dispatch({
      what: 'ctx.dispatch(flow)',
      options,
      dispatch: (parent) => this.#parts.dispatcher.dispatchFlow(body, options, parent),
    })
  }

  /** Adds members to a flow. */
  async add(
    flow: string,
    requests: readonly JobRequest<unknown>[],
    tx: Transaction | undefined,
  ): Promise<readonly Receipt<unknown>[]> {
    if (!Array.isArray(requests))
      throw new ErrandError('E_OPTION', `ctx.flow.add() takes a list, not ${describe(requests)}`)
    const receipts: Receipt<unknown>[] = []
    let left = requests.map((request: JobRequest<unknown>, index) => ({ request, index }))
    while (left.length > 0) {
      const places: (Place | undefined)[] = []
      const parentOf = (index: number): Parent => ({
        ...this.#parent,
        childId: (child) => (places[index] = this.#take({ ...child, name: `member ${child.name}` }, tx)).id,
      })
      const answer = this.#parts.dispatcher.addToFlow(
        flow,
        left.map(({ request }) => request),
        tx,
        parentOf,
      )
      const answers = await this.#answered(answer, () => places)
      const again: typeof left = []
      for (const [at, one] of left.entries()) {
        const receipt = answers[at] as Receipt<unknown>
        if (this.#isTaken(places[at], receipt, tx)) again.push(one)
        else receipts[one.index] = receipt
      }
      left = again
    }
    return receipts
  }

  async #dispatch<Answer extends { readonly id: string; readonly status: string }>(
    call: ChildCall<Answer>,
  ): Promise<Answer> {
    const { once, each } = checkChild(call.what, call.options)
    const parent = this.#parent
    if (each === 'run') return call.dispatch(parent)
    if (once !== undefined) {
      return call.dispatch({ ...parent, childId: ({ name }) => this.#id(this.#digest([name, once])) })
    }
    const tx = call.options?.tx
    for (;;) {
      let place: Place | undefined
      const childId = (child: Child): string => {
        place = this.#take(child, tx)
        return place.id
      }
      const receipt = await this.#answered(call.dispatch({ ...parent, childId }), () => [place])
      if (!this.#isTaken(place, receipt, tx)) return receipt
    }
  }

  get #parent(): Parent {
    const { claim } = this.#parts
    return { id: claim.id, meta: splitMeta(claim.job.meta).meta }
  }

  /** Whether the transaction before this one has committed after all, so that this is the next of its kind. */
  #isTaken(
    place: Place | undefined,
    { id, status }: { readonly id: string; readonly status: string },
    tx: object | undefined,
  ): boolean {
    if (!place) return false
    if (tx !== undefined && status === 'added') doubt(place, tx)
    else return place.before !== undefined && id === place.id
    return false
  }

  /** A refused dispatch gives its number back. */
  async #answered<T>(answer: Promise<T>, getPlaces: () => readonly (Place | undefined)[]): Promise<T> {
    try {
      return await answer
    } catch (error) {
      for (const place of getPlaces()) {
        if (place?.before !== undefined) doubt(place, place.before)
        else if (place) (place.of.free ??= []).push(place.index)
      }
      throw error
    }
  }

  #take({ name, orderingKey, uniqueKey, json }: Child, tx: object | undefined): Place {
    const digest = this.#digest([name, orderingKey ?? null, uniqueKey ?? null, canonicalJson(json)])
    const key = digest.toString('base64', 0, 16)
    let of = this.#places.get(key)
    if (!of) this.#places.set(key, (of = { next: 0 }))
    let before: object | undefined
    let index = of.free?.shift()
    if (index === undefined && tx !== undefined && of.uncertain) {
      for (const [at, by] of of.uncertain) {
        if (by === tx) continue
        // A handler that repeats a transaction which was rolled back dispatches the same child, not one more.
        of.uncertain.delete(at)
        index = at
        before = by
        break
      }
    }
    index ??= of.next++
    return { of, index, before, id: this.#id(index === 0 ? digest : this.#digest([key, index])) }
  }

  #id(digest: Buffer): string {
    return idBeside(this.#parts.claim.id, digest)
  }

  #digest(what: readonly unknown[]): Buffer {
    const { codec, claim, idempotencyKey } = this.#parts
    const text = JSON.stringify([idempotencyKey, ...what])
    return codec.digest?.(text, claim.job.payload) ?? createHash('sha256').update(text).digest()
  }
}

function doubt({ of, index }: Place, tx: object): void {
  of.uncertain ??= new Map()
  of.uncertain.set(index, tx)
}

function checkChild(what: string, options: unknown): Pick<ChildOptions, 'once' | 'each'> {
  if (typeof options !== 'object' || options === null) return {}
  const { once, each, id } = options as Pick<ChildOptions, 'once' | 'each' | 'id'>
  if (each !== undefined) checkOneOf(`each of ${what}`, each, ['run'])
  if (once !== undefined) checkKey(`once of ${what}`, once)
  if ([once, each, id].filter((one) => one !== undefined).length > 1) {
    throw new ErrandError('E_OPTION', `${what} has more than one of once, each and id; use one of them`)
  }
  return { once, each }
}
