/** Half of the time that a ticket may be kept between two asks, so that tickets fetched ahead are asked for in time. */
const aheadMs = 250

/** How fast tickets are asked for. */
export class Pace {
  #takes: { readonly atMs: number; readonly count: number }[] = []

  took(count: number, nowMs: number): void {
    this.#takes = [...this.#recent(nowMs), { atMs: nowMs, count }]
  }

  /** How many tickets will be asked for in the next quarter of a second, if the pace stays that of the last one. */
  expected(nowMs: number): number {
    return this.#recent(nowMs).reduce((sum, { count }) => sum + count, 0)
  }

  #recent(nowMs: number): { readonly atMs: number; readonly count: number }[] {
    return this.#takes.filter(({ atMs }) => nowMs - atMs < aheadMs)
  }
}
