import { randomUUID } from 'node:crypto'
import { copyFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Errand } from 'errand'
import type { Dispatched } from './audit/audit.ts'
import { makeContactSheet, orderPrints, orderSteps } from './jobs.ts'
import type { Image, Rendition } from './jobs.ts'
import type { Place } from './place.ts'
import { cover, plan } from './plan.ts'
import type { Planned } from './plan.ts'
import type { Source } from './pictures.ts'
import { Director } from './stage/director.ts'
import type { Fleet } from './stage/fleet.ts'
import { Order } from './stage/order.ts'
import type { Story } from './stage/story.ts'
import type { Swap } from './stage/swap.ts'
import { counted, listed } from './stage/style.ts'
import type { Tally } from './stage/tally.ts'

export interface Programme {
  readonly pictures: readonly Source[]
  /** A file that says whose the pictures are, if there is one. */
  readonly credits: string | undefined
  readonly place: Place
}

export interface Company {
  readonly errand: Errand
  readonly fleet: Fleet
  readonly tally: Tally
  readonly story: Story
  readonly swap: Swap
}

/** One run of the demo, from the first dispatch to the order of prints. */
export class Show {
  readonly director: Director
  /** Jobs in all: the thumbnails, the cover, the contact sheet and the order. */
  readonly total: number
  /** In the order of their dispatch. */
  readonly dispatched: Dispatched[] = []

  readonly #programme: Programme
  readonly #company: Company
  readonly #jobs: readonly Planned[]
  readonly #planned = new Map<string, Planned>()
  readonly #made = new Map<string, Rendition>()
  readonly #broken = Promise.withResolvers<never>()
  #sheetId: string | undefined
  #order: { readonly id: string; readonly act: Order } | undefined

  constructor(programme: Programme, company: Company) {
    this.#programme = programme
    this.#company = company
    this.#broken.promise.catch(() => {})
    this.#jobs = plan(programme.pictures, programme.place.out)
    this.total = this.#jobs.length + 3
    this.director = new Director({
      ...company,
      total: this.#jobs.length,
      sendCover: () => this.#sendCover(),
      swap: () => void company.swap.run().catch(this.#broken.reject),
      heldBy: (worker) => this.#heldBy(worker),
    })
  }

  /** Rejects when the broker could not be swapped: it never resolves. */
  get broken(): Promise<never> {
    return this.#broken.promise
  }

  /** Dispatches everything at once, in one commit, whether or not a worker is there yet. */
  async open(): Promise<void> {
    const { errand, story } = this.#company
    const from = performance.now()
    const receipts = await errand.dispatchMany(this.#jobs.map(({ request }) => request))
    const tookMs = Math.round(performance.now() - from)
    for (const [index, { id }] of receipts.entries()) {
      const job = this.#jobs[index]
      if (job) this.#expect(id, job)
    }
    const keyed = this.#jobs.filter(({ key }) => key !== undefined).length
    story.tell(
      `${this.#jobs.length} jobs dispatched in one commit, in ${tookMs} ms; ${keyed} of them have an ordering key`,
    )
  }

  /** Follows the log from its first event on, until the order is done. */
  async play(signal: AbortSignal): Promise<void> {
    for await (const event of this.#company.errand.events.follow({ after: 'start', signal })) {
      await this.director.hear(event, performance.now())
      if (event.jobId === this.#order?.id) await this.#order.act.hear(event)
      if (event.type !== 'succeeded') continue
      if (event.jobId === this.#order?.id) return
      if (event.jobId === this.#sheetId) await this.#sendOrder()
      const job = this.#planned.get(event.jobId)
      if (job) this.#made.set(event.jobId, { ...(event.result as Image), file: job.file, format: job.format })
      if (job && this.#made.size === this.#jobs.length + 1) await this.#sendSheet()
    }
    if (!signal.aborted) throw new Error('the log stopped telling of its events')
  }

  async #heldBy(worker: string): Promise<string[]> {
    const { errand, tally } = this.#company
    const labels: string[] = []
    for await (const job of errand.jobs.list({ state: 'running' })) {
      if (job.worker === worker) labels.push(tally.known(job.id)?.label ?? job.id)
    }
    return labels
  }

  async #sendCover(): Promise<string> {
    const { errand, story, tally } = this.#company
    const [picture] = this.#programme.pictures
    if (!picture) throw new Error('a show without pictures')
    const id = randomUUID()
    const job = cover(picture, this.#programme.place.out, id)
    story.tell(
      `${job.label} is dispatched, in the critical lane; ${counted(tally.waiting, 'job')} wait`,
      'magentaBright',
    )
    this.#expect(id, job)
    await errand.dispatchMany([job.request])
    return id
  }

  async #sendSheet(): Promise<void> {
    const { story, swap } = this.#company
    const { credits, pictures, place } = this.#programme
    // A dispatcher on the new broker: its ticket goes there, too.
    const errand = await swap.run()
    story.tell('every thumbnail is there; the contact sheet is dispatched')
    if (credits !== undefined) await copyFile(credits, join(place.out, basename(credits)))

    const id = randomUUID()
    this.#sheetId = id
    this.dispatched.push({ id, label: 'contact sheet' })
    this.#company.tally.expect({ id, label: 'contact sheet', lane: 'normal', key: undefined })
    await errand.dispatch(
      makeContactSheet,
      {
        target: place.sheet,
        pictures: pictures.map(({ name }) => ({ name, renditions: this.#listRenditions(name) })),
        ...(credits === undefined ? {} : { credits: basename(credits) }),
      },
      { id },
    )
  }

  async #sendOrder(): Promise<void> {
    const { fleet, story, swap, tally } = this.#company
    const errand = await swap.run()
    const id = randomUUID()
    const label = 'the order of prints'
    this.#order = { id, act: new Order({ errand, fleet, story, id }) }
    this.dispatched.push({ id, label, steps: orderSteps })
    tally.expect({ id, label, lane: 'normal', key: undefined })
    story.tell(`prints are ordered, a job of the steps ${listed(orderSteps)}`)
    await errand.dispatch(orderPrints, { sheet: this.#programme.place.sheet }, { id })
  }

  #listRenditions(picture: string): Rendition[] {
    return [...this.#made].flatMap(([id, made]) => (this.#planned.get(id)?.picture === picture ? [made] : []))
  }

  #expect(id: string, job: Planned): void {
    this.dispatched.push({ id, label: job.label })
    this.#planned.set(id, job)
    this.#company.tally.expect({ id, label: job.label, lane: job.lane, key: job.key })
  }
}
