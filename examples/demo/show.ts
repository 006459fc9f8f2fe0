import { randomUUID } from 'node:crypto'
import { copyFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Errand, JobEvent } from 'errand'
import type { Dispatched } from './audit/audit.ts'
import { makeContactSheet } from './jobs.ts'
import type { Image } from './jobs.ts'
import type { Place } from './place.ts'
import { cover, plan } from './plan.ts'
import type { Planned } from './plan.ts'
import type { Source } from './pictures.ts'
import { sheetOf } from './sheet.ts'
import { Director } from './stage/director.ts'
import type { Fleet } from './stage/fleet.ts'
import type { Story } from './stage/story.ts'
import { counted } from './stage/style.ts'
import type { Tally } from './stage/tally.ts'

export interface Programme {
  readonly pictures: readonly Source[]
  /** A file that says whose the pictures are, where there is one. */
  readonly credits: string | undefined
  readonly place: Place
}

export interface Company {
  readonly errand: Errand
  readonly fleet: Fleet
  readonly tally: Tally
  readonly story: Story
}

/** One performance, from the first dispatch to the contact sheet. */
export class Show {
  /** The thumbnails, the cover and the contact sheet. */
  readonly total: number
  readonly director: Director
  readonly #programme: Programme
  readonly #company: Company
  readonly #jobs: Planned[]
  readonly #dispatched: Dispatched[] = []
  readonly #planned: { readonly id: string; readonly job: Planned }[] = []
  readonly #made = new Map<string, Image>()
  #sheetId: string | undefined

  constructor(programme: Programme, company: Company) {
    this.#programme = programme
    this.#company = company
    this.#jobs = plan(programme.pictures, programme.place.out)
    this.total = this.#jobs.length + 2
    const sendCover = (): Promise<string> => this.#sendCover()
    this.director = new Director({ ...company, total: this.#jobs.length, sendCover })
  }

  /** In the order of their dispatch. */
  get dispatched(): readonly Dispatched[] {
    return this.#dispatched
  }

  /** Dispatches everything at once: one commit, whether or not a worker is there yet. */
  async open(): Promise<void> {
    const { errand, story } = this.#company
    const from = performance.now()
    const receipts = await errand.dispatchMany(this.#jobs.map(({ request }) => request))
    const tookMs = Math.round(performance.now() - from)
    for (const [index, job] of this.#jobs.entries()) {
      const receipt = receipts[index]
      if (receipt) this.#expect(receipt.id, job)
    }
    const keyed = this.#jobs.filter(({ key }) => key !== undefined).length
    story.tell(`${counted(receipts.length, 'job')} dispatched in one commit, ${tookMs} ms; ${keyed} of them in rows that must run in order`)
  }

  /** Follows the log until the contact sheet is there. */
  async play(after: string, signal: AbortSignal): Promise<void> {
    for await (const event of this.#company.errand.events.follow({ after, signal })) {
      await this.director.hear(event, performance.now())
      if (event.type !== 'succeeded') continue
      if (event.jobId === this.#sheetId) break
      this.#made.set(event.jobId, event.result as Image)
      if (this.#made.size === this.total - 1) await this.#sendSheet()
    }
  }

  async #sendCover(): Promise<string> {
    const { errand, story, tally } = this.#company
    const [picture] = this.#programme.pictures
    if (!picture) throw new Error('a show without pictures')
    const id = randomUUID()
    const job = cover(picture, this.#programme.place.out, id)
    const waiting = tally.waiting
    this.#expect(id, job)
    await errand.dispatchMany([job.request])
    story.tell(`${job.label} is dispatched in the critical lane; ${counted(waiting, 'job')} wait before it`, 'magentaBright')
    return id
  }

  async #sendSheet(): Promise<void> {
    const { errand, story } = this.#company
    const { credits, place } = this.#programme
    story.tell('every thumbnail is there; the contact sheet is dispatched')
    if (credits !== undefined) await copyFile(credits, join(place.out, basename(credits)))
    this.#sheetId = randomUUID()
    this.#expect(this.#sheetId, { label: 'contact sheet', lane: 'normal', key: undefined })
    const made = this.#planned.map(({ id, job }) => ({ ...job, image: this.#made.get(id) }))
    const sheet = sheetOf(made, place, credits)
    await errand.dispatch(makeContactSheet, sheet, { id: this.#sheetId })
  }

  #expect(id: string, { label, lane, key }: Pick<Planned, 'label' | 'lane' | 'key'>): void {
    this.#dispatched.push({ id, label, key })
    this.#company.tally.expect({ id, label, lane, key })
  }
}
