import { createHash } from 'node:crypto'
import { ErrandError } from '../errors.ts'
import { idBeside } from '../ids.ts'
import type { Claim } from '../job/claim.ts'
import { canonicalJson } from '../json.ts'
import { checkOneOf } from '../options.ts'
import type { Codec } from '../ports/codec.ts'
import { splitMeta } from '../schedule/tick-meta.ts'
import { checkKey } from './keys.ts'
import type { Child, ChildOptions, DispatchRequest, Parent, Receipt } from './request.ts'

export interface ChildrenParts {
  /** The claim of the parent's run. */
  readonly claim: Claim
  /** Runs with the same key have the same children. */
  readonly idempotencyKey: string
  readonly codec: Codec
  readonly dispatch: (request: DispatchRequest, parent: Parent) => Promise<Receipt<unknown>>
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
    const { once, each } = checkChild(request)
    const { claim, dispatch } = this.#parts
    const parent: Parent = { id: claim.id, meta: splitMeta(claim.job.meta).meta }
    if (each === 'run') return dispatch(request, parent)
    if (once !== undefined) {
      return dispatch(request, { ...parent, childId: ({ name }) => this.#id(this.#digest([name, once])) })
    }
    const tx = request.options?.tx
    for (;;) {
      let place: Place | undefined
      const childId = (child: Child): string => {
        place = this.#take(child, tx)
        return place.id
      }
      const receipt = await this.#answered(dispatch(request, { ...parent, childId }), () => place)
      if (!place) return receipt
      const { before } = place
      if (tx !== undefined && receipt.status === 'added') doubt(place, tx)
      // The transaction before this one has committed after all, so this is the next of its kind.
      else if (before !== undefined && receipt.id === place.id) continue
      return receipt
    }
  }

  /** A refused dispatch gives its number back. */
  async #answered<T>(answer: Promise<T>, getPlace: () => Place | undefined): Promise<T> {
    try {
      return await answer
    } catch (error) {
      const place = getPlace()
      if (place?.before !== undefined) doubt(place, place.before)
      else if (place) (place.of.free ??= []).push(place.index)
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

function checkChild({ job, options }: DispatchRequest): Pick<ChildOptions, 'once' | 'each'> {
  if (typeof options !== 'object' || options === null) return {}
  const what = `ctx.dispatch(${job.name})`
  const { once, each, id } = options
  if (each !== undefined) checkOneOf(`each of ${what}`, each, ['run'])
  if (once !== undefined) checkKey(`once of ${what}`, once)
  if ([once, each, id].filter((one) => one !== undefined).length > 1) {
    throw new ErrandError('E_OPTION', `${what} has more than one of once, each and id; use one of them`)
  }
  return { once, each }
}
