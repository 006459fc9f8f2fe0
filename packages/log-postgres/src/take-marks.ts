import { lanes } from '@errand/core/ports'
import type { Lane, QueueName } from '@errand/core/ports'

/**
 * A search from the front that takes longer has met dead rows, or jobs that run, so not every take repeats it. A clean one
 * takes a fourth of this.
 */
const slowSearchUs = 200
/** A search in more than one queue may take so much longer for each: to look into an empty one takes a tenth of this. */
const slowMoreUs = 30
/** A search that takes longer is not even repeated if nothing was found behind the marks. */
const dearSearchUs = 5_000
/** Slow searches may take this share of the time, so that a job which became ready before the marks waits little. */
const searchShare = 1 / 20
const longestMs = 5_000

interface Mark {
  slowUntil: number
  searchUs: number
  readonly lanes: Map<Lane, number>
}

/**
 * Where `take` begins to look. Normally at the front of a queue. Jobs that run lie at the front, and rows that are dead, until
 * a vacuum removes them, which an old snapshot can keep it from; then takes begin where the last one found its first job,
 * and only now and then, or when there is nothing else, at the front again.
 */
export class TakeMarks {
  readonly #marks = new Map<QueueName, Mark>()

  /** Per queue and lane the sequence to begin with. Null means from the front of all. */
  from(queues: readonly QueueName[], now: number = performance.now()): readonly number[] | null {
    const slow = queues.some((queue) => (this.#marks.get(queue)?.slowUntil ?? 0) > now)
    if (!slow) return null
    return queues.flatMap((queue) => {
      const mark = this.#marks.get(queue)
      return lanes.map((lane) => (mark && mark.slowUntil > now ? (mark.lanes.get(lane) ?? 0) : 0))
    })
  }

  /** Whether to search from the front if nothing was behind the marks. */
  areCheap(queues: readonly QueueName[]): boolean {
    return queues.every((queue) => (this.#marks.get(queue)?.searchUs ?? 0) <= dearSearchUs)
  }

  /** Records a take: how long it searched, and whether it searched from the front. */
  note(
    queues: readonly QueueName[],
    fromFront: boolean,
    searchUs: number,
    seen: readonly { readonly queue: QueueName; readonly lane: Lane; readonly sequence: number }[],
    now: number = performance.now(),
  ): void {
    if (fromFront && searchUs <= slowSearchUs + slowMoreUs * (queues.length - 1)) {
      for (const queue of queues) this.#marks.delete(queue)
      return
    }
    if (fromFront) {
      const restMs = Math.min(longestMs, searchUs / 1_000 / searchShare)
      for (const queue of queues) Object.assign(this.#getMark(queue), { slowUntil: now + restMs, searchUs })
    }
    const lowest = new Map<string, number>()
    for (const { queue, lane, sequence } of seen) {
      const at = `${lane} ${queue}`
      const known = lowest.get(at)
      if (known !== undefined && known <= sequence) continue
      lowest.set(at, sequence)
      this.#getMark(queue).lanes.set(lane, sequence)
    }
  }

  #getMark(queue: QueueName): Mark {
    let mark = this.#marks.get(queue)
    if (!mark) {
      mark = { slowUntil: 0, searchUs: 0, lanes: new Map() }
      this.#marks.set(queue, mark)
    }
    return mark
  }
}
