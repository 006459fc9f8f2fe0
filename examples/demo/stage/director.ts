import type { JobEvent } from 'errand'
import { present } from './fleet.ts'
import type { Fleet } from './fleet.ts'
import type { Story } from './story.ts'
import { counted, listed } from './style.ts'
import type { Known, Tally } from './tally.ts'

export interface Cast {
  readonly tally: Tally
  readonly story: Story
  readonly fleet: Fleet
  /** Jobs that are dispatched at the beginning. */
  readonly total: number
  /** Dispatches the job that must not wait, and resolves with its id. */
  readonly sendCover: () => Promise<string>
  /** Moves the workers to another broker. Not awaited: the show goes on during the move. */
  readonly swap: () => void
  /** The labels of the jobs that this worker runs, by the log. */
  readonly heldBy: (worker: string) => Promise<readonly string[]>
}

/** How many jobs the critical job overtook, by the order of the log. */
export interface Overtaking {
  readonly label: string
  readonly dispatchedAt: number
  /** Jobs that waited when it was dispatched. */
  readonly behind: number
  /** Jobs that waited when it started: it went ahead of them all. */
  readonly overtook: number
  readonly afterMs: number
}

/** Longer than the workers' lease: by then the log has called lost what there was to lose. */
const secondThoughtsMs = 4_000

/**
 * Hears every event of the log, starts the three acts (one worker is killed at a quarter, one critical job is dispatched
 * half way, then the broker is swapped) and shows what happens.
 */
export class Director {
  /** Runs that were lost, in the order of the log's events. */
  readonly lost: { readonly id: string; readonly label: string }[] = []
  overtaking: Overtaking | undefined
  readonly #cast: Cast
  /** Workers that were killed, by their ids in the log. */
  readonly #dead = new Set<string>()
  #shown = false
  #notBefore = 0
  #coverId: string | undefined
  #coverStarted = false
  #coverSent = false
  #swapped = false

  constructor(cast: Cast) {
    this.#cast = cast
  }

  async hear(event: JobEvent, now: number): Promise<void> {
    const { tally, total } = this.#cast
    const job = tally.known(event.jobId)
    tally.apply(event, now)
    if (!job) return
    if (event.type === 'failed') throw new Error(`${job.label} failed for good: ${event.error.message}`)

    if (event.type === 'started') this.#started(event, job)
    if (event.type === 'lost') this.#lost(event, job)
    if (job.id === this.#coverId) this.#coverHeard(event, job)

    if (event.type === 'started' && tally.done >= total / 4) await this.#kill(event.worker, now)
    if (tally.done >= total / 2 && !this.#coverSent) {
      this.#coverSent = true
      this.#coverId = await this.#cast.sendCover()
    }
    // After the kill, and after the cover has shown what a lane does.
    if (this.#shown && this.#coverStarted && !this.#swapped) {
      this.#swapped = true
      this.#cast.swap()
    }
  }

  /** Kills a worker that has just begun a job, so that a run is lost. */
  async #kill(worker: string, now: number): Promise<void> {
    const { fleet, heldBy, story } = this.#cast
    const working = fleet.members.filter(({ state }) => state === 'working')
    const member = working.find((each) => present(each).id === worker)
    if (this.#shown || now < this.#notBefore || !member || working.length < 2) return

    this.#notBefore = now + secondThoughtsMs
    this.#dead.add(worker)
    await fleet.kill(member)
    // Asked after its death: the log now says which jobs it had.
    const held = await heldBy(worker)
    const hands = held.length > 0 ? listed(held) : 'nothing'
    member.fate = `killed holding ${hands}`
    story.tell(`kill -9 ${present(member).pid}: ${member.name} dies holding ${hands}`, 'red')
    // Rare: it had just finished everything. If nothing turns out to be lost, the show needs another one.
    this.#shown = held.length > 0
  }

  #started({ run, worker }: JobEvent & { readonly type: 'started' }, job: Known): void {
    if (run === 1) return
    this.#cast.story.tell(`${job.label} runs again, on ${this.#nameWorker(worker)} (run ${run})`, 'green')
  }

  #lost({ worker }: JobEvent & { readonly type: 'lost' }, job: Known): void {
    this.lost.push(job)
    if (this.#dead.has(worker)) this.#shown = true
    this.#cast.story.tell(
      `${job.label} is lost: the lease of ${this.#nameWorker(worker)} is out; ready again`,
      'yellow',
    )
  }

  #coverHeard(event: JobEvent, { label }: Known): void {
    const at = event.at.getTime()
    const waiting = this.#cast.tally.waitingBelow('critical')
    if (event.type === 'dispatched') {
      this.overtaking = { label, dispatchedAt: at, behind: waiting, overtook: 0, afterMs: 0 }
    } else if (event.type === 'started' && this.overtaking) {
      const afterMs = at - this.overtaking.dispatchedAt
      this.overtaking = { ...this.overtaking, overtook: waiting, afterMs }
      const jobs = counted(waiting, 'older job')
      this.#coverStarted = true
      this.#cast.story.tell(`${label} starts ${afterMs} ms later, ahead of ${jobs}`, 'magentaBright')
    }
  }

  #nameWorker(worker: string): string {
    return this.#cast.fleet.findMember(worker)?.name ?? 'a worker'
  }
}
